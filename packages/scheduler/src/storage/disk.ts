import { isJsonObject, type JsonObject } from '@eru/kit';
import { readTexts } from '../lenient.ts';
import { refused } from '../refused.ts';
import { addIo, formatIo, largerIo, readIo, storedIo, type Io } from './io.ts';
import { readSize } from './size.ts';

/** A device with what it gives of IO (in a capacity) or what is taken of it (in a usage or booking). */
export interface Disk {
  readonly device: string;
  readonly mounts: readonly string[];
  readonly io: Io;
}

export function readDisks(stored: JsonObject, key: string): Disk[] {
  const list = stored[key];
  if (!Array.isArray(list)) return [];
  return list.filter(isJsonObject).map((disk) => ({
    device: typeof disk['device'] === 'string' ? disk['device'] : '',
    mounts: readTexts(disk, 'mounts'),
    io: readIo(disk),
  }));
}

export function storedDisks(disks: readonly Disk[]): JsonObject[] {
  return disks.map(({ device, mounts, io }) => ({ device, mounts: [...mounts], ...storedIo(io) }));
}

/** As operators and diff lines write it: `device:mount,mount:rIOPS:wIOPS:rBPS:wBPS`. */
export function formatDisk({ device, mounts, io }: Disk): string {
  return `${device}:${mounts.join(',')}:${formatIo(io)}`;
}

/** Exactly 6 fields; IOPS are plain numbers, BPS human sizes. All four may be negative in a delta. @throws EruError `invalid` */
export function parseDisk(text: string): Disk {
  const fields = text.split(':');
  const [device = '', mounts = '', readIops = '', writeIops = '', readBps = '', writeBps = ''] = fields;
  const integer = /^-?\d+$/;
  if (fields.length !== 6 || device === '' || !integer.test(readIops) || !integer.test(writeIops))
    throw malformed(text);
  return {
    device,
    mounts: mounts.split(',').filter((mount) => mount !== ''),
    io: [Number(readIops), Number(writeIops), bytesIn(text, readBps), bytesIn(text, writeBps)],
  };
}

function bytesIn(text: string, size: string): number {
  const bytes = readSize(size);
  if (bytes === undefined) throw malformed(text);
  return bytes;
}

function malformed(text: string): Error {
  return refused(
    'storage disks',
    text,
    'write device:mount,mount:readIOPS:writeIOPS:readBPS:writeBPS, such as /dev/sda:/data:500:500:100M:100M',
    'invalid disk',
  );
}

/** The disk that a path is on: that of the deepest mount which contains it. Its position; -1 = none is known. */
export function diskOf(disks: readonly Disk[], path: string): number {
  let [found, depth] = [-1, -1];
  for (const [index, { mounts }] of disks.entries()) {
    for (const mount of mounts) {
      const folder = mount.endsWith('/') ? mount : `${mount}/`;
      if (folder.length > depth && `${path}/`.startsWith(folder)) [found, depth] = [index, folder.length];
    }
  }
  return found;
}

/** Device by device; one that only the right side knows is taken from there. Sorted by device. */
export function addDisks(left: readonly Disk[], right: readonly Disk[], sign: 1 | -1 = 1): Disk[] {
  return mergeDisks(left, right, (a, b) => addIo(a, b, sign));
}

export function largerDisks(left: readonly Disk[], right: readonly Disk[]): Disk[] {
  return mergeDisks(left, right, largerIo);
}

/** Mounts that the right side gives replace those on the left. */
function mergeDisks(left: readonly Disk[], right: readonly Disk[], merge: (left: Io, right: Io) => Io): Disk[] {
  const merged = new Map(left.map((disk) => [disk.device, disk]));
  for (const { device, mounts, io } of right) {
    const before = merged.get(device) ?? { mounts: [], io: [0, 0, 0, 0] };
    merged.set(device, { device, mounts: mounts.length > 0 ? mounts : before.mounts, io: merge(before.io, io) });
  }
  return [...merged.values()].sort((a, b) => (a.device < b.device ? -1 : 1));
}
