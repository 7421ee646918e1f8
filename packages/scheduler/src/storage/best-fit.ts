import { diskOf } from './disk.ts';
import type { Item, Items } from './items.ts';
import type { Bin } from './model.ts';
import { fits, fitsIo, take, takeIo, type Room } from './room.ts';
import type { Space } from './space.ts';

/** The same choice of volumes for so many plans in a row. */
export interface Run {
  /** The bin of each normal item. */
  readonly bins: readonly number[];
  readonly times: number;
}

/** A few dozen are a lot; each is a plan at least. It keeps a request made for the purpose from holding the event loop. */
const runsMost = 10_000;

/**
 * Plans for normal bindings and for mounts with IO (section 4.3, step 4): each item goes to the smallest volume that has its
 * size and whose disk has its IO, until something does not fit; at most `limit` plans. Takes from `room`.
 *
 * Plans are not made one by one. Room only shrinks, and the smallest volume that fits becomes smaller still: nearly always
 * the next plan makes the same choices. So each plan is repeated at once for as long as its choices hold, and a node costs a
 * few steps per volume, however many plans it has room for.
 */
export function fill(space: Space, room: Room, open: readonly number[], items: Items, limit: number): Run[] {
  const runs: Run[] = [];
  let count = 0;
  while (count < limit && runs.length < runsMost) {
    const before: Room = { free: [...room.free], io: [...room.io] };
    const bins = fillOnce(space, room, open, items);
    if (bins === undefined) {
      // The IO that the failed plan took stays taken: exclusive bindings get what is left, as in the original.
      before.free.forEach((bytes, bin) => (room.free[bin] = bytes));
      break;
    }
    const again = Math.min(limit - count - 1, repeats(space, before, room, open, items, bins));
    repeat(before.free, room.free, again);
    repeat(before.io, room.io, again);
    runs.push({ bins, times: again + 1 });
    count += again + 1;
  }
  return runs;
}

export function planCount(runs: readonly Run[]): number {
  return runs.reduce((sum, { times }) => sum + times, 0);
}

/** One plan; `undefined` when something does not fit. */
function fillOnce(space: Space, room: Room, open: readonly number[], { normal, mounts }: Items): number[] | undefined {
  const bins: number[] = [];
  for (const item of normal) {
    const bin = smallest(space, room, open, item);
    if (bin === undefined) return undefined;
    take(space, room, bin, item);
    bins.push(bin);
  }
  for (const item of mounts) {
    const disk = diskOf(space.model.disks, item.binding.source);
    if (!fitsIo(room, disk, item)) return undefined;
    takeIo(room, disk, item);
  }
  return bins;
}

/** Of the volumes that take this item, the first by (free, path). */
export function smallest(space: Space, room: Room, open: readonly number[], item: Item): number | undefined {
  let found: number | undefined;
  for (const bin of open) {
    if (fits(space, room, bin, item) && (found === undefined || gap(room, found, bin) < 0)) found = bin;
  }
  return found;
}

/** How far `right` comes after `left` in the order of (free, path); below 0 = before it. */
function gap({ free }: Room, left: number, right: number): number {
  return (free[right] as number) - (free[left] as number) - (right < left ? 1 : 0);
}

/**
 * How often more the plan that led from `before` to `after` would be made: until a chosen volume or disk is too small, or
 * another volume that would do has shrunk below a chosen one. What did not fit never fits again.
 */
function repeats(
  space: Space,
  before: Room,
  after: Room,
  open: readonly number[],
  { normal, mounts }: Items,
  bins: readonly number[],
): number {
  const room: Room = { free: [...before.free], io: [...before.io] };
  const taken = (bin: number): number => (before.free[bin] as number) - (after.free[bin] as number);
  let most = Infinity;
  const hold = (slack: number, step: number): void => {
    if (step > 0) most = Math.min(most, Math.floor(slack / step));
  };
  const holdIo = (disk: number, item: Item): void => {
    if (!item.needsDisk) return;
    for (const [dimension, amount] of item.io.entries()) {
      const at = 4 * disk + dimension;
      hold((room.io[at] as number) - amount, (before.io[at] as number) - (after.io[at] as number));
    }
  };

  for (const [index, item] of normal.entries()) {
    const bin = bins[index] as number;
    hold((room.free[bin] as number) - item.size, taken(bin));
    holdIo((space.model.bins[bin] as Bin).disk, item);
    for (const other of open) {
      if (other !== bin && fits(space, room, other, item)) hold(gap(room, bin, other), taken(other) - taken(bin));
    }
    take(space, room, bin, item);
  }
  for (const item of mounts) {
    const disk = diskOf(space.model.disks, item.binding.source);
    holdIo(disk, item);
    takeIo(room, disk, item);
  }
  return most;
}

function repeat(before: readonly number[], after: number[], times: number): void {
  for (const [index, amount] of before.entries()) {
    const step = amount - (after[index] as number);
    if (step > 0) after[index] = (after[index] as number) - times * step;
  }
}
