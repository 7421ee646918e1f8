import { fill, planCount, type Run } from './best-fit.ts';
import { addIo, noIo } from './io.ts';
import type { Item, Items } from './items.ts';
import { fits, roomOf, take, type Asked, type Room } from './room.ts';
import { byFree, type Space } from './space.ts';

/** All plans of a node for one request: counted, not yet written out. Volumes are meant by their bins. */
export interface Layout {
  readonly items: Items;
  /** `Infinity`: volumes do not bound it. */
  readonly count: number;
  readonly runs: readonly Run[];
  /** For the exclusive bindings of each plan. */
  readonly mono: readonly number[];
  /** For the unlimited bindings of every plan. */
  readonly unlimited: number;
}

/** One workload's plan: where each of its bindings goes. */
export type Plan = readonly Placement[];

export interface Placement {
  readonly item: Item;
  readonly bin: number;
  readonly bytes: number;
}

/**
 * The volume plans of a node (section 4.3). A volume that nobody uses is kept for exclusive bindings, and opened to normal
 * ones only while they have fewer plans. `limit` stands for the number of plans where there are no exclusive bindings, and
 * bounds the normal ones.
 */
export function layOut(space: Space, items: Items, limit: number): Layout {
  const { normal, mono, unlimited, mounts } = items;
  if (space.model.bins.length === 0 && normal.length + mono.length + unlimited.length > 0)
    return { items, count: 0, runs: [], mono: [], unlimited: -1 };
  const packs = normal.length + mounts.length > 0;
  const open = byFree(space, true);
  const closed = byFree(space, false);
  for (;;) {
    const room = roomOf(space, items.needDisks);
    const runs = packs ? fill(space, room, open, items, limit) : [];
    const whole = takeWhole(space, room, closed, mono);
    const normals = packs ? planCount(runs) : Infinity;
    const enough = mono.length > 0 ? whole.length : limit;
    const next = closed.findIndex((bin) => normal[0] !== undefined && (space.free[bin] as number) >= normal[0].size);
    if (normals >= enough || next < 0) {
      const count = mono.length > 0 ? Math.min(normals, whole.length) : normals;
      return { items, count, runs, mono: whole, unlimited: roomiest(room, [...open, ...closed]) };
    }
    open.push(...closed.splice(next, 1));
  }
}

/** The first `count` plans of a layout. Equal plans are one object. */
export function plansOf(space: Space, { items, runs, mono, unlimited }: Layout, count: number): Plan[] {
  const anywhere = items.unlimited.map((item): Placement => ({ item, bin: unlimited, bytes: 0 }));
  const packed = runs.flatMap(({ bins, times }) => {
    const normal = items.normal.map((item, at): Placement => ({ item, bin: bins[at] as number, bytes: item.size }));
    const plan: Plan = [...normal, ...anywhere];
    return Array.from({ length: Math.min(times, count) }, () => plan);
  });
  return Array.from({ length: count }, (_, index) => {
    const plan = packed[index] ?? anywhere;
    const bin = mono[index];
    return bin === undefined ? plan : [...plan, ...shareOut(items.mono, bin, space.free[bin] as number)];
  });
}

/** Exclusive bindings share one volume among them, all of it, in proportion to their sizes. */
export function shareOut(mono: readonly Item[], bin: number, bytes: number): Placement[] {
  const wanted = mono.reduce((sum, { size }) => sum + size, 0);
  // Sizes of 0, where only IO is asked, would divide by 0: then the shares are even.
  const parts = mono.map(({ size }) =>
    wanted > 0 ? Number((BigInt(bytes) * BigInt(size)) / BigInt(wanted)) : Math.floor(bytes / mono.length),
  );
  const rest = bytes - parts.reduce((sum, part) => sum + part, 0);
  return mono.map((item, index) => ({ item, bin, bytes: (parts[index] as number) + (index === 0 ? rest : 0) }));
}

/** What exclusive bindings need of their volume, together. */
export function sumOfItems(mono: readonly Item[]): Asked {
  const io = mono.reduce((sum, item) => addIo(sum, item.io), noIo);
  const size = mono.reduce((sum, item) => sum + item.size, 0);
  return { size, io, needsDisk: mono.some(({ needsDisk }) => needsDisk) };
}

/** One volume for each exclusive plan, the smallest first. Takes all of it. */
function takeWhole(space: Space, room: Room, closed: readonly number[], mono: readonly Item[]): number[] {
  if (mono.length === 0) return [];
  const needed = sumOfItems(mono);
  return closed.filter((bin) => {
    if (!fits(space, room, bin, needed)) return false;
    take(space, room, bin, { ...needed, size: room.free[bin] as number });
    return true;
  });
}

/** The volume with the most space; of equals the first. */
function roomiest({ free }: Room, bins: readonly number[]): number {
  return bins.reduce((most, bin) => ((free[bin] as number) > (free[most] ?? -Infinity) ? bin : most), -1);
}
