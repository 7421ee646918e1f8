import type { Lack, Measure } from '../kind.ts';
import { share } from '../lenient.ts';
import { unlimited } from '../model.ts';
import { fill, planCount, smallest } from './best-fit.ts';
import { diskOf } from './disk.ts';
import { ioNames } from './io.ts';
import type { Items } from './items.ts';
import type { Bin } from './model.ts';
import type { StorageRequest } from './request.ts';
import { fits, fitsIo, roomOf, take, takeIo, type Asked, type Room } from './room.ts';
import { byFree, type Space } from './space.ts';
import { layOut, sumOfItems } from './volume-plans.ts';

/** A request, with what is worked out once for all nodes. */
export interface Compiled extends StorageRequest {
  readonly items: Items;
  readonly volumeBytes: number;
}

/** Capacity, usage and rate (section 4.2). `limit` bounds only the plans that have to be tried one by one. */
export function measure(space: Space, request: Compiled, limit: number, measure: Measure): void {
  measure.count = Math.max(0, Math.min(countStorage(space, request), countVolumes(space, request, limit)));
  const byVolumes = request.volumes.length > 0 || request.storageRequest === 0;
  measure.usage = byVolumes
    ? share(space.volumesUsed, space.model.volumes)
    : share(space.storageUsed, space.model.storage);
  measure.rate = byVolumes
    ? share(request.volumeBytes, space.model.volumes)
    : share(request.storageRequest, space.model.storage);
  measure.weight = 1;
}

function countStorage({ model: { storage }, storageUsed }: Space, { storageRequest }: Compiled): number {
  return storageRequest === 0 ? unlimited : Math.floor((storage - storageUsed) / storageRequest);
}

function countVolumes(space: Space, { items }: Compiled, limit: number): number {
  const { normal, mono, unlimited: anywhere, mounts } = items;
  if (normal.length + mono.length + anywhere.length + mounts.length === 0) return unlimited;
  if (mono.length > 0 || normal.length + mounts.length === 0) return layOut(space, items, limit).count;
  if (space.model.bins.length === 0 && anywhere.length + normal.length > 0) return 0;
  // Without exclusive bindings every volume gets opened, unless `limit` is reached before: so the last stage is enough.
  const all = planCount(fill(space, roomOf(space, items.needDisks), [...space.model.bins.keys()], items, unlimited));
  // More volumes have been known to hold fewer plans; only then does it matter where the opening stops.
  const mightStopBefore =
    all < limit && space.model.volumes - space.volumesUsed >= limit * normal.reduce((sum, { size }) => sum + size, 0);
  return mightStopBefore ? layOut(space, items, limit).count : all;
}

/** Why not even one fits. */
export function refuse(space: Space, request: Compiled): Lack {
  const free = space.model.storage - space.storageUsed;
  if (request.storageRequest > free)
    return { reason: 'free storage', needed: request.storageRequest, free, unit: 'bytes' };
  return refuseVolumes(space, request.items);
}

/** Why there is not even one plan for these volumes: the first item that does not fit with every volume open. */
export function refuseVolumes(space: Space, { normal, mono, unlimited: anywhere, mounts }: Items): Lack {
  if (space.model.bins.length === 0 && anywhere.length + normal.length + mono.length > 0)
    return { reason: 'volumes', needed: 1, free: 0, unit: 'number' };

  const room = roomOf(space, true);
  const all = [...space.model.bins.keys()];
  for (const item of normal) {
    const bin = smallest(space, room, all, item);
    if (bin === undefined) return lackOfBin(space, room, all, item, 'free space on a volume');
    take(space, room, bin, item);
  }
  for (const item of mounts) {
    const disk = diskOf(space.model.disks, item.binding.source);
    if (!fitsIo(room, disk, item)) return lackOfDisk(room, [disk], item);
    takeIo(room, disk, item);
  }
  const unused = byFree(space, false);
  const whole = sumOfItems(mono);
  if (!unused.some((bin) => fits(space, roomOf(space, true), bin, whole)))
    return lackOfBin(space, roomOf(space, true), unused, whole, 'unused volume');
  return { reason: 'unused volumes', needed: unused.length + 1, free: unused.length, unit: 'number' };
}

/** What is missing on the best of these volumes: space, else IO where there is space. */
export function lackOfBin(space: Space, room: Room, bins: readonly number[], item: Asked, reason: string): Lack {
  const free = bins.reduce((most, bin) => Math.max(most, room.free[bin] as number), 0);
  if (bins.length === 0 || free < item.size) return { reason, needed: item.size, free, unit: 'bytes' };
  const roomy = bins.filter((bin) => (room.free[bin] as number) >= item.size);
  return lackOfDisk(
    room,
    roomy.map((bin) => (space.model.bins[bin] as Bin).disk),
    item,
  );
}

export function lackOfDisk({ io }: Room, disks: readonly number[], item: Asked): Lack {
  for (const [dimension, needed] of item.io.entries()) {
    const free = disks.reduce((most, disk) => Math.max(most, disk < 0 ? 0 : (io[4 * disk + dimension] as number)), 0);
    if (free < needed)
      return {
        reason: `${ioNames[dimension] as string} of a disk`,
        needed,
        free,
        unit: dimension < 2 ? 'number' : 'bytes',
      };
  }
  return { reason: 'disks with all of the IO', needed: 1, free: 0, unit: 'number' };
}
