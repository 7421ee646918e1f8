import type { JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { Allotment, Lack, Measure } from '../kind.ts';
import { share } from '../lenient.ts';
import { unlimited } from '../model.ts';
import { repeated } from '../repeated.ts';
import { formatBooking, readBooking, type Booking } from './booking.ts';
import { chooseDevices } from './devices.ts';
import { readCapacity, readUsed, total, type Device } from './node.ts';
import { parseDelta } from './request.ts';

/** What planning needs to know of a node. */
export interface Stock {
  /** GPUs in all, and used in all. */
  readonly total: number;
  readonly used: number;
  /** By product. */
  readonly free: Amounts;
  /** Products whose devices are known. */
  readonly named: ReadonlySet<string>;
  /** The known devices that nobody holds, by id. */
  readonly devices: readonly Device[];
}

export function readStock(capacity: JsonObject, usage: JsonObject): Stock {
  const [whole, used] = [readCapacity(capacity), readUsed(usage)];
  const devices = whole.devices
    .filter(({ id }) => (used.devices[id] ?? 0) === 0)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
  const named = new Set(whole.devices.map(({ product }) => product));
  const free: Record<string, number> = {};
  for (const [product, count] of Object.entries(addAmounts(whole.products, used.products, -1))) {
    const known = devices.filter((device) => device.product === product).length;
    // Who was placed before the devices had names holds some of them: then the count is less.
    free[product] = named.has(product) ? Math.min(count, known) : count;
  }
  return { total: total(whole.products), used: total(used.products), free, named, devices };
}

/** Equal stocks have equal texts. */
export function fingerprint({ total, used, free, devices }: Stock): string {
  const counts = Object.entries(free).map(([product, count]) => `${product}:${count}`);
  const names = devices.map(({ id, product, numa }) => `${id}:${product}:${numa}`);
  return [total, used, ...counts.sort(), ...names].join('\n');
}

/** Capacity, usage and rate (section 5). */
export function measure(stock: Stock, request: Amounts, measure: Measure): void {
  let count = unlimited;
  for (const product in request) {
    const asked = request[product] as number;
    count = Math.min(count, Math.floor((stock.free[product] ?? 0) / asked));
  }
  measure.count = Math.max(0, count);
  measure.usage = share(stock.used, stock.total);
  measure.rate = share(total(request), stock.total);
  measure.weight = 1;
}

export function refuse({ free }: Stock, request: Amounts): Lack {
  const lacking = Object.entries(request).find(([product, asked]) => (free[product] ?? 0) < asked);
  const [product = 'GPUs', needed = 1] = lacking ?? [];
  return { reason: `free ${product}`, needed, free: free[product] ?? 0, unit: 'number' };
}

export function allocate(stock: Stock, request: Amounts, count: number): Allotment[] {
  // Where no device has a name all instances are alike.
  if (Object.keys(onlyNamed(stock, request)).length === 0)
    return repeated(allotmentOf({ products: request, devices: [] }), count);
  let { devices } = stock;
  return Array.from({ length: count }, () => {
    const chosen = chooseDevices(devices, onlyNamed(stock, request));
    devices = devices.filter((device) => !chosen.includes(device));
    return allotmentOf({ products: request, devices: chosen.map(({ id }) => id) });
  });
}

/** New counts for a workload whose GPUs have been given back; it keeps the devices that it has. */
export function realloc(stock: Stock, stored: JsonObject, delta: JsonObject): Allotment | Lack {
  const current = readBooking(stored);
  const next = parseDelta(delta, current.products);
  const grown = Object.entries(next).filter(([product, count]) => count > (current.products[product] ?? 0));
  if (grown.some(([product, count]) => (stock.free[product] ?? 0) < count))
    return refuse(stock, Object.fromEntries(grown));
  const changed = total(addAmounts(next, current.products, -1)) !== 0 || grown.length > 0;
  if (!changed) return allotmentOf(current);

  const wanted = onlyNamed(stock, next);
  const held = stock.devices.filter(({ id }) => current.devices.includes(id));
  const kept = chooseDevices(held, wanted);
  const missing = kept.reduce<Amounts>((left, { product }) => addAmounts(left, { [product]: -1 }), wanted);
  const others = stock.devices.filter((device) => !held.includes(device));
  const devices = [...kept, ...chooseDevices(others, missing, kept)];
  return allotmentOf({ products: next, devices: devices.map(({ id }) => id) });
}

function onlyNamed({ named }: Stock, products: Amounts): Amounts {
  return Object.fromEntries(Object.entries(products).filter(([product]) => named.has(product)));
}

const nothingAllotted: Allotment = { resources: {}, engineParams: {} };

/** Who asks for nothing has no part in this kind at all. */
function allotmentOf(booking: Booking): Allotment {
  if (Object.keys(booking.products).length === 0) return nothingAllotted;
  const stored = formatBooking(booking);
  return { resources: stored, engineParams: stored };
}
