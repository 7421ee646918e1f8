import type { JsonObject } from '@eru/kit';
import type { KindNode } from '../kind.ts';
import { addBookings, nothingUsed } from './booking.ts';
import { alignUsed, formatUsed, readCapacity, readUsed } from './node.ts';

/** Usage as it is when exactly these workloads are on the node. */
export function recount(node: KindNode, workloads: readonly JsonObject[]): JsonObject {
  const capacity = readCapacity(node.capacity);
  return formatUsed(alignUsed(addBookings(nothingUsed, workloads, 1), capacity), { ...capacity.numa });
}

/** Texts and order are the original's (section 3.2), its unbalanced bracket too: people have scripts on them. */
export function differences(node: KindNode, workloads: readonly JsonObject[]): string[] {
  const capacity = readCapacity(node.capacity);
  const used = readUsed(node.usage);
  const sum = addBookings(nothingUsed, workloads, 1);
  const lines: string[] = [];
  if (used.cpu !== sum.cpu)
    lines.push(`node.CPUUsed != sum(workload.CPURequest): ${used.cpu.toFixed(2)} != ${sum.cpu.toFixed(2)}`);
  for (const core of Object.keys(capacity.cpuMap)) {
    const [left, right] = [used.cpuMap[core] ?? 0, sum.cpuMap[core] ?? 0];
    if (left !== right) lines.push(`node.CPUMap[${core}] != sum(workload.CPUMap[${core}]): ${left} != ${right}`);
  }
  for (const numa of Object.keys(capacity.numaMemory)) {
    const [left, right] = [used.numaMemory[numa] ?? 0, sum.numaMemory[numa] ?? 0];
    if (left !== right)
      lines.push(`node.NUMAMemory[${numa}] != sum(workload.NUMAMemory[${numa}]: ${left} != ${right})`);
  }
  if (used.memory !== sum.memory)
    lines.push(`node.MemoryUsed != sum(workload.MemoryRequest): ${used.memory} != ${sum.memory}`);
  return lines;
}
