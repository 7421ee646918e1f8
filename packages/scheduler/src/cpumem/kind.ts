import type { Lack, Measure, ResourceKind, Settings } from '../kind.ts';
import { readObject } from '../lenient.ts';
import { repeated } from '../repeated.ts';
import { addBookings, largerBooking, readBooking } from './booking.ts';
import { allocateBound, measureBound, refuseBound } from './bound.ts';
import { reallocBound } from './bound-realloc.ts';
import { differences, recount } from './differences.ts';
import { Layouts } from './layout.ts';
import { metricDescriptions, metrics } from './metrics.ts';
import { addNode, setCapacity } from './node-request.ts';
import { formatUsed, overruns, readUsed } from './node.ts';
import { remap } from './remap.ts';
import { formatRequest, isBound, parseDelta, parseRequest, requestKeys, type CpuMemoryRequest } from './request.ts';
import { RoomCounter } from './room.ts';
import { fingerprint, readState, type NodeState } from './state.ts';
import { allotUnbound, measureUnbound, refuseUnbound } from './unbound.ts';

/** CPU and memory (reference/scheduling.md section 3). */
export function cpumem(settings: Settings): ResourceKind<CpuMemoryRequest, NodeState> {
  const layouts = new Layouts();
  const rooms = new RoomCounter(settings);

  return {
    name: 'cpumem',
    requestKeys,

    parse: (raw) => parseRequest(raw, settings),
    normal: formatRequest,
    state({ resources }) {
      return readState(resources.capacity['cpumem'] ?? {}, resources.usage['cpumem'] ?? {}, layouts, settings);
    },
    fingerprint,
    measure(state, request, measure) {
      if (isBound(request)) measureBound(state, request, rooms, measure);
      else measureUnbound(state, request, measure);
    },
    refuse: (state, request) =>
      isBound(request) ? refuseBound(state, request, settings) : refuseUnbound(state, request),
    allocate: (state, request, count) =>
      isBound(request) ? allocateBound(state, request, count, rooms, settings) : repeated(allotUnbound(request), count),

    realloc(state, stored, delta) {
      const current = readBooking(stored);
      const next = parseDelta(delta, current, settings);
      if (isBound(next)) return reallocBound(state, current, next, rooms, settings);
      return refuseGrowth(state, current, next) ?? allotUnbound(next);
    },
    remap: (node, workloads) => remap(node, workloads, settings),

    book(usage, add, subtract) {
      const used = addBookings(addBookings(readUsed(usage), add, 1), subtract, -1);
      return formatUsed(used, readObject(usage, 'numa'));
    },
    recount,
    differences,
    larger: largerBooking,
    overruns,

    addNode: (request, info) => addNode(request, info, settings),
    setCapacity: (node, request, delta) => setCapacity(node, request, delta, settings),
    metricDescriptions,
    metrics,
  };
}

/** What does not grow is never refused: a workload can always shrink, also on a node that was itself made smaller. */
function refuseGrowth(state: NodeState, current: CpuMemoryRequest, next: CpuMemoryRequest): Lack | undefined {
  if (next.cpuRequest <= current.cpuRequest && next.memoryRequest <= current.memoryRequest) return undefined;
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  measureUnbound(state, next, measure);
  return measure.count > 0 ? undefined : refuseUnbound(state, next);
}
