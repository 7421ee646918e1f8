import type { JsonObject } from '@eru/kit';
import { readAmounts, readInteger } from '../lenient.ts';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import { refused } from '../refused.ts';
import { readDisks, storedDisks, type Disk } from './disk.ts';
import { ioNames, noIo } from './io.ts';

/** What a node has, or what is used of it. Bytes; `volumes` by path; `storage` is a total and includes the volumes. */
export interface Holdings {
  readonly storage: number;
  readonly volumes: Amounts;
  /** Sorted by device. */
  readonly disks: readonly Disk[];
}

export const nothing: Holdings = { storage: 0, volumes: {}, disks: [] };

export function readHoldings(stored: JsonObject): Holdings {
  return {
    storage: readInteger(stored, 'storage'),
    volumes: readAmounts(stored, 'volumes'),
    disks: readDisks(stored, 'disks'),
  };
}

export function storedHoldings({ storage, volumes, disks }: Holdings): JsonObject {
  return { storage, volumes: { ...volumes }, disks: storedDisks(disks) };
}

/**
 * Usage names exactly the volumes and disks of its capacity, 0 where nothing is used, with the capacity's mounts; and what is
 * used but no longer there, so that the check finds it.
 */
export function alignUsed(used: Holdings, capacity: Holdings): Holdings {
  const none = Object.fromEntries(Object.keys(capacity.volumes).map((path) => [path, 0]));
  const volumes = Object.entries(used.volumes).filter(([path, bytes]) => path in none || bytes !== 0);
  const strays = used.disks.filter(
    ({ device, io }) => io.some((amount) => amount !== 0) && find(capacity, device) === undefined,
  );
  return {
    storage: used.storage,
    volumes: addAmounts(none, Object.fromEntries(volumes)),
    disks: [
      ...capacity.disks.map(({ device, mounts }) => ({ device, mounts, io: find(used, device)?.io ?? noIo })),
      ...strays,
    ],
  };
}

/** The checks of every write of a node (section 4.2). @throws EruError `invalid` */
export function checkNode(capacity: Holdings, used: Holdings): KindNode {
  const { storage, volumes, disks } = capacity;
  for (const [path, bytes] of Object.entries(volumes)) {
    if (bytes < 0)
      throw refused('storage volumes', `${path}:${bytes}`, 'a volume has 0 bytes or more', 'invalid volume');
  }
  for (const { device, io } of disks) {
    if (io.some((amount) => amount < 0))
      throw refused('storage disks', `${device}: ${io.join(':')}`, 'a disk gives 0 or more', 'invalid io parameters');
  }
  if (storage < 0) throw refused('storage storage', storage, 'a node has 0 bytes or more', 'invalid storage');
  const [overrun] = exceeding(capacity, used);
  if (overrun !== undefined) throw refused('storage capacity', overrun, 'keep what workloads use', 'invalid capacity');
  return { capacity: storedHoldings(capacity), usage: storedHoldings(used) };
}

/** Volumes and disks that give more than they have. Total storage is not looked at: an operator may shrink a busy node. */
export function exceeding(capacity: Holdings, used: Holdings): string[] {
  const lines = Object.entries(used.volumes)
    .filter(([path, bytes]) => bytes < 0 || bytes > (capacity.volumes[path] ?? 0))
    .map(([path, bytes]) => `volume ${path}: ${bytes} used of ${capacity.volumes[path] ?? 0}`);
  for (const { device, io } of used.disks) {
    const budget = find(capacity, device)?.io ?? noIo;
    for (const [dimension, amount] of io.entries()) {
      const whole = budget[dimension] as number;
      if (amount < 0 || amount > whole) lines.push(`disk ${device}: ${amount} ${ioNames[dimension]} used of ${whole}`);
    }
  }
  return lines;
}

function find({ disks }: Holdings, device: string): Disk | undefined {
  return disks.find((disk) => disk.device === device);
}
