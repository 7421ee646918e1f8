import type { JsonObject } from '@eru/kit';
import type { Allotment, Lack } from '../kind.ts';
import { allotmentOf, bookingOf } from './allot.ts';
import { identityOf, roleOf } from './binding.ts';
import { placedByTarget, readBooking, type Booking, type Placed } from './booking.ts';
import { diskOf } from './disk.ts';
import { itemsOf, type Item, type Items } from './items.ts';
import { lackOfBin, lackOfDisk, refuseVolumes } from './measure.ts';
import { parseDelta, requestsOf } from './request.ts';
import { fits, fitsIo, roomOf, take, takeIo, type Room } from './room.ts';
import type { Space } from './space.ts';
import { layOut, plansOf, shareOut, sumOfItems, type Placement, type Plan } from './volume-plans.ts';

/**
 * New amounts for a workload (section 4.4), on a node to which the current ones have been given back. Volumes stay where
 * they are; where one cannot, the change is refused rather than data left behind.
 */
export function realloc(space: Space, stored: JsonObject, delta: JsonObject): Allotment | Lack {
  const current = readBooking(stored);
  const { next, replan } = parseDelta(delta, current);
  const free = space.model.storage - space.storageUsed;
  if (next.storageRequest > current.storageRequest && next.storageRequest > free)
    return { reason: 'free storage', needed: next.storageRequest, free, unit: 'bytes' };
  // The original drops the IO of a plan that is kept, so that others could take it (section 8).
  if (!replan) return allotmentOf({ ...current, ...next }, current);
  const plan = planWithAffinity(space, current, itemsOf(next));
  return 'reason' in plan ? plan : allotmentOf(bookingOf(space, next, plan), current);
}

/** By identity of a binding, the volume that it has now; exclusive ones with the bytes of all of them. */
type Homes = ReadonlyMap<string, Placed>;

function planWithAffinity(given: Space, current: Booking, items: Items): Plan | Lack {
  const homes = homesOf(current);
  const held = new Set([...homes.values()].filter(({ bytes }) => bytes > 0).map(({ path }) => path));
  // A volume that the workload gave back completely still counts as used: exclusive bindings do not come to it.
  const bins = given.model.bins.map((bin) => (held.has(bin.path) ? { ...bin, size: Infinity } : bin));
  const space = { ...given, model: { ...given.model, bins } };
  const room = roomOf(space, true);
  const kept = keep(space, room, homes, items);
  if ('reason' in kept) return kept;

  const left = { ...space, ...room };
  const rest = without(items, new Set(kept.map(({ item }) => item)));
  const layout = layOut(left, rest, 1);
  const [moved] = plansOf(left, layout, Math.min(1, layout.count));
  return moved === undefined ? refuseVolumes(left, rest) : [...kept, ...moved];
}

/** Takes what stays where it is, with its new amounts, from `room`. */
function keep(space: Space, room: Room, homes: Homes, { normal, mono, unlimited, mounts }: Items): Plan | Lack {
  for (const item of mounts) {
    const disk = diskOf(space.model.disks, item.binding.source);
    if (!fitsIo(room, disk, item)) return lackOfDisk(room, [disk], item);
    takeIo(room, disk, item);
  }
  const kept: Placement[] = [];
  for (const item of [...normal, ...unlimited]) {
    const home = homes.get(identityOf(item.binding));
    if (home === undefined) continue;
    const bin = binAt(space, home.path);
    if (bin < 0) return gone(home.path);
    if (!fits(space, room, bin, item)) return lackOfBin(space, room, [bin], item, `free space on ${home.path}`);
    take(space, room, bin, item);
    kept.push({ item, bin, bytes: item.size });
  }
  const monoHome = mono.map(({ binding }) => homes.get(identityOf(binding))).find((home) => home !== undefined);
  return monoHome === undefined ? kept : keepMono(space, room, monoHome, mono, kept);
}

/** One exclusive binding that has a volume brings all of them there; they divide anew what the workload holds of it. */
function keepMono(
  space: Space,
  room: Room,
  { path, bytes: held }: Placed,
  mono: readonly Item[],
  kept: readonly Placement[],
): Plan | Lack {
  const bin = binAt(space, path);
  if (bin < 0) return gone(path);
  const needed = sumOfItems(mono);
  if (needed.size > held)
    return { reason: `size of the exclusive volume ${path}`, needed: needed.size, free: held, unit: 'bytes' };
  const whole = { ...needed, size: held };
  if (!fits(space, room, bin, whole)) return lackOfBin(space, room, [bin], whole, `free space on ${path}`);
  take(space, room, bin, whole);
  return [...kept, ...shareOut(mono, bin, held)];
}

function homesOf(current: Booking): Map<string, Placed> {
  const placed = placedByTarget(current);
  const bindings = requestsOf(current).filter(({ target }) => placed.has(target));
  const exclusive = bindings
    .filter((binding) => roleOf(binding) === 'mono')
    .reduce((sum, { target }) => sum + (placed.get(target) as Placed).bytes, 0);
  return new Map(
    bindings.map((binding) => {
      const { path, bytes } = placed.get(binding.target) as Placed;
      return [identityOf(binding), { path, bytes: roleOf(binding) === 'mono' ? exclusive : bytes }];
    }),
  );
}

function without({ normal, mono, unlimited, needDisks }: Items, kept: ReadonlySet<Item>): Items {
  const left = (items: readonly Item[]): Item[] => items.filter((item) => !kept.has(item));
  return { normal: left(normal), mono: left(mono), unlimited: left(unlimited), mounts: [], needDisks };
}

function binAt({ model: { bins } }: Space, path: string): number {
  return bins.findIndex((bin) => bin.path === path);
}

/** An operator has taken the volume away under the workload. */
function gone(path: string): Lack {
  return { reason: `volume ${path}, which the workload is on`, needed: 1, free: 0, unit: 'number' };
}
