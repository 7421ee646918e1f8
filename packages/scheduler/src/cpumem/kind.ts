import { EruError } from '@eru/kit';
import type { Allotment, Lack, Measure, ResourceKind, Settings } from '../kind.ts';
import { addBookings, largerBooking, readBooking } from './booking.ts';
import { differences, recount } from './differences.ts';
import { metricDescriptions, metrics } from './metrics.ts';
import { addNode, setCapacity } from './node-request.ts';
import { exceeding, formatUsed, readCapacity, readUsed } from './node.ts';
import { readInteger, readObject } from '../lenient.ts';
import { remap } from './remap.ts';
import { formatRequest, parseDelta, parseRequest, requestKeys, type CpuMemoryRequest } from './request.ts';
import { allotUnbound, measureUnbound, refuseUnbound, type Pool } from './unbound.ts';

/** A request, and what every unbound instance of it gets: nothing is chosen for these, so all are alike. */
interface Compiled extends CpuMemoryRequest {
  readonly allotment: Allotment;
}

/** CPU and memory (reference/scheduling.md section 3). */
export function cpumem(settings: Settings): ResourceKind<Compiled, Pool> {
  return {
    name: 'cpumem',
    requestKeys,

    parse(raw) {
      const request = refuseBinding(parseRequest(raw));
      return { ...request, allotment: allotUnbound(request) };
    },
    normal: formatRequest,
    state({ resources }) {
      const capacity = resources.capacity['cpumem'] ?? {};
      return {
        cores: Object.keys(readObject(capacity, 'cpu_map')).length,
        memory: readInteger(capacity, 'memory'),
        memoryUsed: readInteger(resources.usage['cpumem'] ?? {}, 'memory'),
      };
    },
    fingerprint: ({ cores, memory, memoryUsed }) => `${cores} ${memory} ${memoryUsed}`,
    measure: measureUnbound,
    refuse: refuseUnbound,
    allocate: (_pool, { allotment }, count) => Array.from<Allotment>({ length: count }).fill(allotment),

    realloc(pool, stored, delta) {
      const current = readBooking(stored);
      const next = refuseBinding(parseDelta(delta, current));
      return refuseGrowth(pool, current, next) ?? allotUnbound(next);
    },
    remap: (node, workloads) => remap(node, workloads, settings),

    book(usage, add, subtract) {
      const used = addBookings(addBookings(readUsed(usage), add, 1), subtract, -1);
      return formatUsed(used, readObject(usage, 'numa'));
    },
    recount,
    differences,
    larger: largerBooking,
    overruns(node) {
      const [capacity, used] = [readCapacity(node.capacity), readUsed(node.usage)];
      const lines = exceeding(capacity, used);
      return used.memory < 0 || used.memory > capacity.memory
        ? [...lines, `memory: ${used.memory} used of ${capacity.memory}`]
        : lines;
    },

    addNode: (request, info) => addNode(request, info, settings),
    setCapacity: (node, request, delta) => setCapacity(node, request, delta, settings),
    metricDescriptions,
    metrics,
  };
}

/** What does not grow is never refused: a workload can always shrink, also on a node that was itself made smaller. */
function refuseGrowth(pool: Pool, current: CpuMemoryRequest, next: CpuMemoryRequest): Lack | undefined {
  if (next.cpuRequest <= current.cpuRequest && next.memoryRequest <= current.memoryRequest) return undefined;
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  measureUnbound(pool, next, measure);
  return measure.count > 0 ? undefined : refuseUnbound(pool, next);
}

/** Bound cores are not planned yet; to place such a workload without them would break what its owner relies on. */
function refuseBinding(request: CpuMemoryRequest): CpuMemoryRequest {
  if (!request.bind) return request;
  throw new EruError('unsupported', 'cpumem cpu-bind: bound cores are not supported yet; leave cpu-bind out', {
    details: { field: 'cpumem.cpu-bind' },
  });
}
