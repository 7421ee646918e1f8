import type { JsonObject } from '@eru/kit';
import { readInteger } from '../lenient.ts';

/** IO per second: read operations, write operations, bytes read, bytes written; the order of every text form. */
export type Io = readonly [readIops: number, writeIops: number, readBps: number, writeBps: number];

export const noIo: Io = [0, 0, 0, 0];

/** For people, in the order of `Io`. */
export const ioNames = ['read IOPS', 'write IOPS', 'read bytes/s', 'write bytes/s'] as const;

export function hasIo(io: Io): boolean {
  return io.some((amount) => amount > 0);
}

export function addIo(left: Io, right: Io, sign: 1 | -1 = 1): Io {
  return mapIo((dimension) => left[dimension] + sign * right[dimension]);
}

export function largerIo(left: Io, right: Io): Io {
  return mapIo((dimension) => Math.max(left[dimension], right[dimension]));
}

export function formatIo(io: Io): string {
  return io.join(':');
}

export function readIo(stored: JsonObject): Io {
  return mapIo((dimension) => readInteger(stored, storedNames[dimension]));
}

export function storedIo(io: Io): JsonObject {
  return Object.fromEntries(storedNames.map((name, dimension) => [name, io[dimension] as number]));
}

const storedNames = ['read_IOPS', 'write_IOPS', 'read_bps', 'write_bps'] as const;

function mapIo(amount: (dimension: 0 | 1 | 2 | 3) => number): Io {
  return [amount(0), amount(1), amount(2), amount(3)];
}
