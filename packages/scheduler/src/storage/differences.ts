import type { JsonObject } from '@eru/kit';
import type { KindNode } from '../kind.ts';
import { sumOf } from './booking.ts';
import { addDisks, formatDisk } from './disk.ts';
import { noIo } from './io.ts';
import { alignUsed, readHoldings, storedHoldings } from './node.ts';

/** Usage as it is when exactly these workloads are on the node. */
export function recount(node: KindNode, workloads: readonly JsonObject[]): JsonObject {
  return storedHoldings(alignUsed(sumOf(workloads), readHoldings(node.capacity)));
}

/** Texts and order are the original's (section 4.2). Also what workloads hold of a volume or disk that the usage does not name. */
export function differences(node: KindNode, workloads: readonly JsonObject[]): string[] {
  const used = readHoldings(node.usage);
  const sum = sumOf(workloads);
  const lines: string[] = [];
  if (used.storage !== sum.storage)
    lines.push(`node.Storage != sum(workload.Storage): ${used.storage} != ${sum.storage}`);
  for (const path of Object.keys({ ...used.volumes, ...sum.volumes })) {
    const [left, right] = [used.volumes[path] ?? 0, sum.volumes[path] ?? 0];
    if (left !== right) lines.push(`node.Volumes[${path}] != sum(workload.Volumes[${path}]): ${left} != ${right}`);
  }
  // The mounts of the node's record on both sides: workloads may have been placed when they were others.
  for (const { device, mounts } of addDisks(sum.disks, used.disks)) {
    const text = (disks: typeof used.disks): string =>
      formatDisk({ device, mounts, io: disks.find((disk) => disk.device === device)?.io ?? noIo });
    const [left, right] = [text(used.disks), text(sum.disks)];
    if (left !== right) lines.push(`node.Disks[${device}] != sum(workload.Disks[${device}]): ${left} != ${right}`);
  }
  return lines;
}
