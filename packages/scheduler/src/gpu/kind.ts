import type { Amounts } from '../amounts.ts';
import type { ResourceKind } from '../kind.ts';
import { addBookings, largerBooking } from './booking.ts';
import { differences, recount } from './differences.ts';
import { metricDescriptions, metrics } from './metrics.ts';
import { addNode, setCapacity } from './node-request.ts';
import { exceeding, readCapacity, readUsed, storedUsed } from './node.ts';
import { parseRequest, requestKeys } from './request.ts';
import { allocate, fingerprint, measure, readStock, realloc, refuse, type Stock } from './stock.ts';

/** GPUs by product (reference/scheduling.md section 5) and, where a node knows its devices, by device. */
export function gpu(): ResourceKind<Amounts, Stock> {
  return {
    name: 'gpu',
    requestKeys,

    parse: parseRequest,
    normal: (request) => (Object.keys(request).length > 0 ? { prod_count_map: { ...request } } : {}),
    state: ({ resources: { capacity, usage } }) => readStock(capacity['gpu'] ?? {}, usage['gpu'] ?? {}),
    fingerprint,
    measure,
    refuse,
    allocate,

    realloc,
    // Nobody shares a GPU.
    remap: () => new Map(),

    book: (usage, add, subtract) => storedUsed(addBookings(addBookings(readUsed(usage), add, 1), subtract, -1)),
    recount,
    differences,
    larger: largerBooking,
    overruns: (node) => exceeding(readCapacity(node.capacity), readUsed(node.usage)),

    addNode,
    setCapacity,
    metricDescriptions,
    metrics,
  };
}
