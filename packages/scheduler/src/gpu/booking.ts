import type { JsonObject } from '@eru/kit';
import { addAmounts, largerAmounts, type Amounts } from '../amounts.ts';
import { readAmounts, readTexts } from '../lenient.ts';
import { nothingUsed, type Used } from './node.ts';

/** What a workload holds on its node, and what its engine is told: one form for both. */
export interface Booking {
  readonly products: Amounts;
  /** Ids, sorted; of products whose devices the node does not know there are none. */
  readonly devices: readonly string[];
}

export function readBooking(stored: JsonObject): Booking {
  return { products: readAmounts(stored, 'prod_count_map'), devices: readTexts(stored, 'devices') };
}

export function formatBooking({ products, devices }: Booking): JsonObject {
  return { prod_count_map: { ...products }, ...(devices.length > 0 ? { devices: [...devices].sort() } : {}) };
}

/** Counts and devices of both: while a workload changes, neither its old nor its new GPUs can be given to another. */
export function largerBooking(a: JsonObject, b: JsonObject): JsonObject {
  const [left, right] = [readBooking(a), readBooking(b)];
  return formatBooking({
    products: largerAmounts(left.products, right.products),
    devices: [...new Set([...left.devices, ...right.devices])],
  });
}

/** Usage after these bookings came or went. */
export function addBookings(used: Used, bookings: readonly JsonObject[], sign: 1 | -1): Used {
  return bookings.map(readBooking).reduce(
    (sum, { products, devices }) => ({
      products: addAmounts(sum.products, products, sign),
      devices: addAmounts(sum.devices, Object.fromEntries(devices.map((id) => [id, 1])), sign),
    }),
    used,
  );
}

export function sumOf(bookings: readonly JsonObject[]): Used {
  return addBookings(nothingUsed, bookings, 1);
}
