import { invalid } from '@eru/kit';
import { existsSync, readFileSync, statSync, type Stats } from 'node:fs';

/**
 * The kernel's number (`8:0`) of the disk behind a device file: a partition's IO is limited on its whole disk.
 * @throws EruError `invalid` when there is no such device
 */
export function diskNumber(device: string): string {
  const stat: Stats | undefined = statSync(device, { throwIfNoEntry: false });
  if (stat?.isBlockDevice() !== true)
    throw invalid('iops_options', device, 'there is no such block device on the node; see lsblk');
  const number = numberOf(stat.rdev);
  const folder = `/sys/dev/block/${number}`;
  return existsSync(`${folder}/partition`) ? readFileSync(`${folder}/../dev`, 'utf8').trim() : number;
}

/** As glibc's gnu_dev_major and gnu_dev_minor take it apart. */
function numberOf(device: number): string {
  const bits = BigInt(device);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n);
  const minor = (bits & 0xffn) | ((bits >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}
