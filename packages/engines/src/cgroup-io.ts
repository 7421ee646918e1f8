import { readFileSync } from 'node:fs';

import type { IoLimit } from './engine.ts';

type Amount = 'readIops' | 'writeIops' | 'readBps' | 'writeBps';

/** Amount -> file of version 1, key in `io.max` of version 2. */
export const ioNames: Readonly<Record<Amount, { file: string; key: string }>> = {
  readIops: { file: 'blkio.throttle.read_iops_device', key: 'riops' },
  writeIops: { file: 'blkio.throttle.write_iops_device', key: 'wiops' },
  readBps: { file: 'blkio.throttle.read_bps_device', key: 'rbps' },
  writeBps: { file: 'blkio.throttle.write_bps_device', key: 'wbps' },
};
export const ioAmounts = Object.keys(ioNames) as Amount[];

/**
 * The IO limits that the kernel holds for a control group. `read` answers a file of its folder, empty when it is not there.
 * Writes of version 1 are marked: those that go through the page cache are nobody's by the time they come to the disk.
 */
export function readIoLimits(version: 1 | 2, read: (file: string) => string): IoLimit[] {
  const found = new Map<string, IoLimit>();
  const note = (number: string, amount: Amount, value: string): void => {
    if (!/^\d+$/.test(value)) return; // `max`
    const device = deviceName(number);
    found.set(number, { ...(found.get(number) ?? { device }), [amount]: Number(value) });
  };
  if (version === 2) {
    for (const line of read('io.max').split('\n')) {
      const [number = '', ...parts] = line.split(' ');
      const values = new Map(parts.map((part) => part.split('=') as [string, string]));
      for (const amount of ioAmounts) note(number, amount, values.get(ioNames[amount].key) ?? '');
    }
  } else {
    for (const amount of ioAmounts)
      for (const line of read(ioNames[amount].file).split('\n')) {
        const [number = '', value = ''] = line.split(' ');
        note(number, amount, value);
      }
  }
  const buffered = (limit: IoLimit): boolean => version === 1 && (limit.writeIops ?? limit.writeBps) !== undefined;
  return [...found.values()]
    .map((limit) => (buffered(limit) ? { ...limit, directOnly: true } : limit))
    .toSorted((a, b) => (a.device < b.device ? -1 : 1));
}

/** `/dev/sda` of `8:0`; the number itself where the kernel knows no name. */
function deviceName(number: string): string {
  try {
    const name = /^DEVNAME=(.+)$/m.exec(readFileSync(`/sys/dev/block/${number}/uevent`, 'utf8'))?.[1];
    return name === undefined ? number : `/dev/${name}`;
  } catch {
    return number;
  }
}
