import { book, diff, fits, maxUsage, sum, type Diff } from './bookkeeping.ts';
import { parseDemand } from './demand.ts';
import type { Fleet } from './fleet/fleet.ts';
import { realloc, remap } from './in-place.ts';
import type { KindDefinition, Metric, MetricDescription, ResourceKind, Settings } from './kind.ts';
import { addNode, metrics, setCapacity } from './machines.ts';
import type {
  Asked,
  CapacityRequest,
  CapacityResult,
  MachineInfo,
  NodeResources,
  PlannedNode,
  PlanRequest,
  PlanResult,
  ReallocResult,
  Resources,
  SpreadResult,
} from './model.ts';
import { capacity, plan, spread } from './plan.ts';
import { atOnce, type Steps } from './steps.ts';

/**
 * Plans and books over a fixed set of resource kinds. Pure: values in, values out; same input, same output, on every
 * machine. What each method does is said at the function of its name.
 */
export interface Scheduler {
  readonly kinds: readonly ResourceKind[];
  readonly metricDescriptions: readonly MetricDescription[];

  plan(fleet: Fleet, request: PlanRequest): PlanResult;
  spread(fleet: Fleet, request: PlanRequest): SpreadResult;
  capacity(fleet: Fleet, request: CapacityRequest): CapacityResult;
  /** The same in short steps, between which the fleet may change: on a large fleet a first plan takes seconds. */
  planInSteps(fleet: Fleet, request: PlanRequest): Steps<PlanResult>;
  spreadInSteps(fleet: Fleet, request: PlanRequest): Steps<SpreadResult>;
  capacityInSteps(fleet: Fleet, request: CapacityRequest): Steps<CapacityResult>;

  /** The request completed and in its normal form. @throws EruError `invalid`, with the original's text; `unsupported` */
  validate(resources: Resources): Resources;
  /** `kind.key` of everything in a request that no kind reads: the wire ignores it, people should be told. */
  unknownKeys(resources: Resources): string[];
  realloc(node: PlannedNode, current: Resources, request: Resources, asked?: Asked): ReallocResult;
  remap(node: NodeResources, workloads: ReadonlyMap<string, Resources>, asked?: Asked): Map<string, Resources>;

  book(node: NodeResources, add: readonly Resources[], subtract: readonly Resources[]): NodeResources;
  sum(workloads: readonly Resources[]): Resources;
  diff(node: NodeResources, workloads: readonly Resources[]): Diff;
  maxUsage(a: Resources, b: Resources): Resources;
  fits(node: NodeResources): string[];

  addNode(request: Resources | undefined, info: MachineInfo): NodeResources;
  setCapacity(node: NodeResources, request: Resources, options: { readonly delta: boolean }): NodeResources;
  metrics(pod: string, node: string, resources: NodeResources): Metric[];
}

export interface SchedulerOptions extends Partial<Settings> {
  readonly kinds: readonly KindDefinition[];
}

export function createScheduler(options: SchedulerOptions): Scheduler {
  const { shareBase = 100, maxShare = -1, maxDeployCount = 10_000 } = options;
  const kinds = options.kinds.map((define): ResourceKind => define({ shareBase, maxShare, maxDeployCount }));
  return {
    kinds,
    metricDescriptions: kinds.flatMap((kind) => kind.metricDescriptions),

    plan: (fleet, request) => atOnce(plan(fleet, request)),
    spread: (fleet, request) => atOnce(spread(fleet, request)),
    capacity: (fleet, request) => atOnce(capacity(fleet, request)),
    planInSteps: plan,
    spreadInSteps: spread,
    capacityInSteps: capacity,

    validate: (resources) => parseDemand(kinds, { resources }).normal,
    unknownKeys: (resources) => unknownKeys(kinds, resources),
    realloc: (node, current, request, asked) => realloc(kinds, node, current, request, asked),
    remap: (node, workloads, asked) => remap(kinds, node, workloads, asked),

    book: (node, add, subtract) => book(kinds, node, add, subtract),
    sum: (workloads) => sum(kinds, workloads),
    diff: (node, workloads) => diff(kinds, node, workloads),
    maxUsage: (a, b) => maxUsage(kinds, a, b),
    fits: (node) => fits(kinds, node),

    addNode: (request, info) => addNode(kinds, request, info),
    setCapacity: (node, request, change) => setCapacity(kinds, node, request, change),
    metrics: (pod, node, resources) => metrics(kinds, pod, node, resources),
  };
}

function unknownKeys(kinds: readonly ResourceKind[], resources: Resources): string[] {
  return Object.entries(resources).flatMap(([name, request]) => {
    const kind = kinds.find((candidate) => candidate.name === name);
    if (kind === undefined) return [name];
    return Object.keys(request)
      .filter((key) => kind.requestKeys !== 'any' && !kind.requestKeys.includes(key))
      .map((key) => `${name}.${key}`);
  });
}
