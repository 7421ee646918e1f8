import type { JsonObject } from '@eru/kit';
import type { KindNode } from '../kind.ts';
import { sumOf } from './booking.ts';
import { readUsed, storedUsed, total } from './node.ts';

/** Usage as it is when exactly these workloads are on the node. */
export function recount(_node: KindNode, workloads: readonly JsonObject[]): JsonObject {
  return storedUsed(sumOf(workloads));
}

/** Texts and order are the original's (section 5); then the devices, which it does not know. */
export function differences(node: KindNode, workloads: readonly JsonObject[]): string[] {
  const [used, sum] = [readUsed(node.usage), sumOf(workloads)];
  const lines: string[] = [];
  const [left, right] = [total(used.products), total(sum.products)];
  if (left !== right) lines.push(`node.GPUUsed != sum(workload.GPURequest): ${twoDigits(left)} != ${twoDigits(right)}`);
  for (const [product, actual] of Object.entries(sum.products)) {
    const booked = used.products[product];
    if (booked === undefined) lines.push(`${product} not in usage`);
    else if (booked !== actual) lines.push(`${product}: actual(${actual}) != usage(${booked})`);
  }
  for (const id of Object.keys({ ...used.devices, ...sum.devices }).sort()) {
    const [booked, actual] = [used.devices[id] ?? 0, sum.devices[id] ?? 0];
    if (booked !== actual) lines.push(`device ${id}: actual(${actual}) != usage(${booked})`);
  }
  return lines;
}

function twoDigits(count: number): string {
  return String(count).padStart(2, '0');
}
