import type { JsonObject } from '@eru/kit';
import type { Disk } from './disk.ts';
import { noIo } from './io.ts';
import type { Bin, Model } from './model.ts';
import { readHoldings } from './node.ts';

/** What planning needs to know of a node. Bytes, and IO per second. */
export interface Space {
  readonly model: Model;
  readonly storageUsed: number;
  /** On all volumes. */
  readonly volumesUsed: number;
  /** What is left, by bin. */
  readonly free: readonly number[];
  /** What is left, by disk, four amounts each. */
  readonly io: readonly number[];
}

export function readSpace(model: Model, usage: JsonObject): Space {
  const used = readHoldings(usage);
  return {
    model,
    storageUsed: used.storage,
    volumesUsed: Object.values(used.volumes).reduce((sum, bytes) => sum + bytes, 0),
    free: model.bins.map(({ path, size }) => size - (used.volumes[path] ?? 0)),
    io: model.disks.length === 0 ? noDisks : model.disks.flatMap((disk) => left(disk, used.disks)),
  };
}

/** One for all nodes whose disks nobody knows. */
const noDisks: readonly number[] = [];

function left({ device, io }: Disk, used: readonly Disk[]): number[] {
  const taken = used.find((disk) => disk.device === device)?.io ?? noIo;
  return io.map((amount, dimension) => amount - (taken[dimension] as number));
}

/** Equal spaces have equal texts. */
export function fingerprint({ model, storageUsed, volumesUsed, free, io }: Space): string {
  return [model.id, storageUsed, volumesUsed, ...free, ...io].join(' ');
}

/** Somebody has space on it; only the others are open to exclusive bindings. */
export function isUsed({ model, free }: Space, bin: number): boolean {
  return (free[bin] as number) < (model.bins[bin] as Bin).size;
}

/** Volumes by rising (free, path), the order in which all plans look at them. */
export function byFree(space: Space, used: boolean): number[] {
  const { free, model } = space;
  return [...model.bins.keys()]
    .filter((bin) => isUsed(space, bin) === used)
    .sort((a, b) => (free[a] as number) - (free[b] as number) || a - b);
}
