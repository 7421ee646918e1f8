import type { JsonObject } from '@eru/kit';
import type { Allotment, KindDefinition, Lack, Measure, MetricDescription, ResourceKind } from '../kind.ts';

/**
 * What an external kind answered ahead of a plan, a realloc or a remap, as data: `asked[kind]`. Whoever talks to it (package
 * plugins) makes this; nothing of it is stored. A plan takes two steps: `capacities` of all candidates, then the plan, then
 * what each chosen node gives to its count of instances, put in with `withAllotments`.
 */
export interface ExternalAnswer {
  /** Of a plan, by node name. A node that is absent has no room. */
  readonly capacities?: ReadonlyMap<string, Measure>;
  /** Of a realloc: the new amounts, or why there are none. */
  readonly realloc?: Allotment | Lack;
  /** Of a remap: engine parameters by workload id, only of those to be changed. */
  readonly remap?: ReadonlyMap<string, JsonObject>;
}

const nothing: Allotment = { resources: {}, engineParams: {} };
const silent: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };

/**
 * A kind whose usage lives elsewhere (docs/protocol.md, "External resource kinds"). Here it has neither capacity nor usage: what
 * a workload holds is in its own record, for giving back and for the kind's own *fix*. A node's part is always empty, so
 * that bookings of other kinds neither wait for this one nor repair it.
 */
export function externalKind(name: string, metricDescriptions: readonly MetricDescription[] = []): KindDefinition {
  return (): ResourceKind<ExternalAnswer, string> => ({
    name,
    // Only the kind itself knows its keys.
    requestKeys: 'any',

    parse: (_raw, asked) => (asked ?? {}) as ExternalAnswer,
    // What was asked once says nothing of the next time: see `parseDemand`.
    normal: () => ({}),
    state: (node) => node.name,
    measure: (node, { capacities }, measure) => Object.assign(measure, capacities?.get(node) ?? silent),
    refuse: () => ({ reason: `${name} capacity`, needed: 1, free: 0, unit: 'number' }),
    allocate: (_node, _answer, count) => Array.from({ length: count }, () => nothing),

    realloc: (_node, current, _delta, asked) =>
      (asked as ExternalAnswer | undefined)?.realloc ?? { resources: current, engineParams: {} },
    remap: (_node, _workloads, asked) => (asked as ExternalAnswer | undefined)?.remap ?? new Map(),

    book: (usage) => usage,
    recount: ({ usage }) => usage,
    differences: () => [],
    larger: (_old, now) => now,
    overruns: () => [],

    addNode: () => ({ capacity: {}, usage: {} }),
    setCapacity: (node) => node,
    metricDescriptions,
    metrics: () => [],
  });
}
