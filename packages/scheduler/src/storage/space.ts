import type { JsonObject } from '@eru/kit';
import { diskOf, formatDisk, type Disk } from './disk.ts';
import { addIo } from './io.ts';
import { readHoldings } from './node.ts';

/** One volume of a node, as the planner packs it: a bin, in the words of the literature. */
export interface Bin {
  readonly path: string;
  /** Bytes. */
  readonly free: number;
  /** Somebody has space on it; only the others are open to exclusive bindings. */
  readonly used: boolean;
  /** Position of its disk; -1 = none is known, so that it cannot promise IO. */
  readonly disk: number;
}

/** What planning needs to know of a node. Bytes. */
export interface Space {
  readonly storage: number;
  readonly storageUsed: number;
  /** Sums over the volumes. */
  readonly volumes: number;
  readonly volumesUsed: number;
  /** In the order of their paths. */
  readonly bins: readonly Bin[];
  /** With the IO that is left. */
  readonly disks: readonly Disk[];
}

export function readSpace(capacity: JsonObject, usage: JsonObject): Space {
  const [whole, used] = [readHoldings(capacity), readHoldings(usage)];
  const bins = Object.keys(whole.volumes)
    .sort()
    .map((path): Bin => {
      const taken = used.volumes[path] ?? 0;
      return { path, free: (whole.volumes[path] ?? 0) - taken, used: taken > 0, disk: diskOf(whole.disks, path) };
    });
  return {
    storage: whole.storage,
    storageUsed: used.storage,
    volumes: sum(Object.values(whole.volumes)),
    volumesUsed: sum(Object.values(used.volumes)),
    bins,
    disks: whole.disks.length === 0 ? noDisks : whole.disks.map((disk) => left(disk, used.disks)),
  };
}

/** One for all nodes whose disks nobody knows. */
const noDisks: readonly Disk[] = [];

function left(disk: Disk, used: readonly Disk[]): Disk {
  const taken = used.find(({ device }) => device === disk.device);
  return taken === undefined ? disk : { ...disk, io: addIo(disk.io, taken.io, -1) };
}

/** Equal spaces have equal texts. */
export function fingerprint({ storage, storageUsed, volumes, volumesUsed, bins, disks }: Space): string {
  return [
    ...[storage, storageUsed, volumes, volumesUsed].map((figure) => figure.toString(36)),
    ...bins.map(({ path, free, used, disk }) => `${path}:${free.toString(36)}:${used ? 'u' : ''}${disk}`),
    ...disks.map(formatDisk),
  ].join('\n');
}

/** Volumes by rising (free, path), the order in which all plans look at them. */
export function byFree({ bins }: Space, used: boolean): number[] {
  const chosen = [...bins.keys()].filter((bin) => bins[bin]?.used === used);
  return chosen.sort((a, b) => (bins[a] as Bin).free - (bins[b] as Bin).free || a - b);
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
