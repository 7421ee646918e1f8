import { toSafeNumber } from '@eru/kit';

import type { IoLimit } from '../engine.ts';

/** The message of both protocols, that of node daemons and that of core. */
interface IoLimitMessage {
  device: string;
  readIops?: bigint | undefined;
  writeIops?: bigint | undefined;
  readBps?: bigint | undefined;
  writeBps?: bigint | undefined;
  directOnly: boolean;
}

type WrittenIoLimit = Pick<IoLimitMessage, 'device' | 'directOnly'> &
  Partial<Record<'readIops' | 'writeIops' | 'readBps' | 'writeBps', bigint>>;

export function toIoMessage({ device, directOnly = false, ...amounts }: IoLimit): WrittenIoLimit {
  const large = Object.entries(amounts).map(([name, value]) => [name, BigInt(value)]);
  return { device, directOnly, ...(Object.fromEntries(large) as Partial<Record<keyof typeof amounts, bigint>>) };
}

export function fromIoMessage(message: IoLimitMessage): IoLimit {
  const { device, directOnly, readIops, writeIops, readBps, writeBps } = message;
  return {
    device,
    ...(readIops !== undefined && { readIops: toSafeNumber(readIops, 'io.read_iops') }),
    ...(writeIops !== undefined && { writeIops: toSafeNumber(writeIops, 'io.write_iops') }),
    ...(readBps !== undefined && { readBps: toSafeNumber(readBps, 'io.read_bps') }),
    ...(writeBps !== undefined && { writeBps: toSafeNumber(writeBps, 'io.write_bps') }),
    ...(directOnly && { directOnly }),
  };
}
