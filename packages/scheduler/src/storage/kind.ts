import type { Allotment, ResourceKind, Settings } from '../kind.ts';
import { repeated } from '../repeated.ts';
import { allotmentOf, bookingOf, nothingAllotted } from './allot.ts';
import { addBookings, largerBooking } from './booking.ts';
import { differences, recount } from './differences.ts';
import { itemsOf } from './items.ts';
import { measure, refuse, type Compiled } from './measure.ts';
import { metricDescriptions, metrics } from './metrics.ts';
import { addNode, setCapacity } from './node-request.ts';
import { exceeding, readHoldings, storedHoldings } from './node.ts';
import { realloc } from './realloc.ts';
import { asksNothing, formatRequest, parseRequest, requestKeys, requestsOf, sizesOf } from './request.ts';
import { Models } from './model.ts';
import { fingerprint, readSpace, type Space } from './space.ts';
import { layOut, plansOf, type Plan } from './volume-plans.ts';

/** Volumes, disks with IO budgets, and storage as a total (reference/scheduling.md section 4). */
export function storage({ maxDeployCount }: Settings): ResourceKind<Compiled, Space> {
  const models = new Models();

  return {
    name: 'storage',
    requestKeys,

    parse(raw) {
      const request = parseRequest(raw);
      return { ...request, items: itemsOf(request), volumeBytes: sizesOf(requestsOf(request)) };
    },
    normal: formatRequest,
    state: ({ resources: { capacity, usage } }) =>
      readSpace(models.of(capacity['storage'] ?? {}), usage['storage'] ?? {}),
    fingerprint,
    measure: (space, request, into) => measure(space, request, maxDeployCount, into),
    refuse,
    allocate(space, request, count) {
      if (asksNothing(request)) return repeated(nothingAllotted, count);
      const layout = layOut(space, request.items, Math.max(count, maxDeployCount));
      const allotted = new Map<Plan, Allotment>();
      return plansOf(space, layout, count).map((plan) => {
        const allotment = allotted.get(plan) ?? allotmentOf(bookingOf(space, request, plan));
        allotted.set(plan, allotment);
        return allotment;
      });
    },

    realloc,
    // What a workload has of volumes does not depend on its neighbours.
    remap: () => new Map(),

    book: (usage, add, subtract) => storedHoldings(addBookings(addBookings(readHoldings(usage), add, 1), subtract, -1)),
    recount,
    differences,
    larger: largerBooking,
    overruns(node) {
      const [capacity, used] = [readHoldings(node.capacity), readHoldings(node.usage)];
      const lines = exceeding(capacity, used);
      return used.storage < 0 || used.storage > capacity.storage
        ? [...lines, `storage: ${used.storage} used of ${capacity.storage}`]
        : lines;
    },

    addNode,
    setCapacity,
    metricDescriptions,
    metrics,
  };
}
