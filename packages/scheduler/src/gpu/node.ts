import { isJsonObject, type Json, type JsonObject } from '@eru/kit';
import type { Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import { readAmounts, readObject } from '../lenient.ts';
import { refused } from '../refused.ts';

/** One GPU that is known by name. */
export interface Device {
  /** What its driver calls it, such as a UUID. */
  readonly id: string;
  readonly product: string;
  /** Empty = not known. */
  readonly numa: string;
}

/** What a node has: counts by product, always, and the devices of those products whose devices are known. */
export interface Capacity {
  readonly products: Amounts;
  readonly devices: readonly Device[];
}

/** What is used of it. `devices`: how many workloads hold a device, which is at most one on a sound node. */
export interface Used {
  readonly products: Amounts;
  readonly devices: Amounts;
}

export const nothingUsed: Used = { products: {}, devices: {} };

export function readCapacity(stored: JsonObject): Capacity {
  const devices = Object.entries(readObject(stored, 'devices')).flatMap(([id, device]) => readDevice(id, device));
  return { products: readAmounts(stored, 'prod_count_map'), devices };
}

/** `model` is another word for `product`. None where that is missing. */
export function readDevice(id: string, value: Json): Device[] {
  if (!isJsonObject(value)) return [];
  const product = value['product'] ?? value['model'];
  const numa = value['numa'] ?? '';
  if (typeof product !== 'string' || (typeof numa !== 'string' && typeof numa !== 'number')) return [];
  return [{ id, product, numa: String(numa) }];
}

export function storedCapacity({ products, devices }: Capacity): JsonObject {
  const named = devices.map(({ id, product, numa }): [string, Json] => [id, { product, numa }]);
  return { prod_count_map: { ...products }, ...(named.length > 0 ? { devices: Object.fromEntries(named) } : {}) };
}

export function readUsed(stored: JsonObject): Used {
  return { products: readAmounts(stored, 'prod_count_map'), devices: readAmounts(stored, 'devices') };
}

/** What is at 0 is not named, as in the original. */
export function storedUsed({ products, devices }: Used): JsonObject {
  const held = withoutZeros(devices);
  return { prod_count_map: withoutZeros(products), ...(Object.keys(held).length > 0 ? { devices: held } : {}) };
}

export function withoutZeros(amounts: Amounts): Record<string, number> {
  return Object.fromEntries(Object.entries(amounts).filter(([, amount]) => amount !== 0));
}

/** The checks of every write of a node. @throws EruError `invalid` */
export function checkNode(capacity: Capacity, used: Used): KindNode {
  for (const [product, count] of Object.entries(capacity.products)) {
    if (count < 0) throw refused(`gpu prod_count_map[${product}]`, count, 'a node has 0 or more', 'invalid gpu map');
  }
  const [overrun] = exceeding(capacity, used);
  if (overrun !== undefined) throw refused('gpu capacity', overrun, 'keep what workloads use', 'invalid gpu map');
  return { capacity: storedCapacity(capacity), usage: storedUsed(used) };
}

/** Products and devices of which more is used than there is. */
export function exceeding({ products, devices }: Capacity, used: Used): string[] {
  const known = new Set(devices.map(({ id }) => id));
  const counts = Object.entries(used.products)
    .filter(([product, count]) => count < 0 || count > (products[product] ?? 0))
    .map(([product, count]) => `${product}: ${count} used of ${products[product] ?? 0}`);
  const held = Object.entries(used.devices)
    .filter(([id, count]) => count < 0 || count > (known.has(id) ? 1 : 0))
    .map(([id, count]) => `device ${id}: ${count} used of ${known.has(id) ? 1 : 0}`);
  return [...counts, ...held];
}

export function total(products: Amounts): number {
  return Object.values(products).reduce((sum, count) => sum + count, 0);
}
