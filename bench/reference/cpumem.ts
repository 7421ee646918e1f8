import { keepingPlan } from './keeping.ts';
import { cpuPlans, type CpuDemand, type CpuPlan, type FreeCpu, type Origin, type ShareRules } from './cpu-plans.ts';

// Capacity, deploy and realloc of the reference's cpumem (reference/scheduling.md sections 3.3, 3.4, 3.6).

export interface CpuMemory {
  readonly cpu: number;
  readonly memory: number;
  readonly cores: ReadonlyMap<string, number>;
  readonly numaMemory: ReadonlyMap<string, number>;
}

export interface CpuMemoryNode {
  /** Its `cpu` is the number of cores, also where they are oversold. */
  readonly capacity: CpuMemory;
  readonly usage: CpuMemory;
  /** Core -> NUMA node; empty without NUMA. */
  readonly numa: ReadonlyMap<string, string>;
}

/** Request equals limit throughout: the limit does not enter planning. */
export interface CpuMemoryRequest extends CpuDemand {
  readonly bind: boolean;
}

/** What one workload holds. */
export interface CpuMemoryBooking extends CpuMemory {
  readonly numaNode: string;
}

/** What one kind answers to a request about one node; the names are those of the wire. */
export interface KindCapacity {
  readonly capacity: number;
  readonly usage: number;
  readonly rate: number;
  readonly weight: number;
}

/** Section 3.3. */
export function cpuMemoryCapacity(node: CpuMemoryNode, request: CpuMemoryRequest, rules: ShareRules): KindCapacity {
  const { capacity, usage } = node;
  if (request.bind) {
    return {
      capacity: cpuPlans(freeOf(node), request, rules).length,
      usage: safeDivide(usage.cpu, capacity.cpu),
      rate: safeDivide(request.cpu, capacity.cpu),
      weight: 100,
    };
  }
  return {
    capacity: unboundCapacity(node, request),
    usage: safeDivide(usage.memory, capacity.memory),
    rate: safeDivide(request.memory, capacity.memory),
    weight: 1,
  };
}

function unboundCapacity({ capacity, usage }: CpuMemoryNode, request: CpuMemoryRequest): number {
  if (request.cpu > capacity.cpu) return 0;
  if (request.memory === 0) return Number.POSITIVE_INFINITY;
  return Math.max(0, Math.floor((capacity.memory - usage.memory) / request.memory));
}

/** Section 3.4: the first `count` plans, or undefined where there are not so many. */
export function deployCpuMemory(
  node: CpuMemoryNode,
  request: CpuMemoryRequest,
  count: number,
  rules: ShareRules,
): CpuMemoryBooking[] | undefined {
  if (!request.bind) {
    if (unboundCapacity(node, request) < count) return undefined;
    return Array.from({ length: count }, () => unboundBooking(request));
  }
  const plans = cpuPlans(freeOf(node), request, rules);
  return plans.length < count ? undefined : plans.slice(0, count).map((plan) => boundBooking(request, plan));
}

/**
 * Section 3.6: `request` holds the new amounts; the node still counts the workload's old ones. `keeping`: as many of its cores
 * as can stay do, which the reference does not promise.
 */
export function reallocCpuMemory(
  node: CpuMemoryNode,
  current: CpuMemoryBooking,
  request: CpuMemoryRequest,
  rules: ShareRules,
  keeping = false,
): CpuMemoryBooking | undefined {
  const without = bookCpuMemory(node, current, -1);
  if (!request.bind) return deployCpuMemory(without, request, 1, rules)?.[0];
  const origin: Origin = { cores: current.cores, numaNode: current.numaNode };
  const free = freeOf(without);
  const plan = keeping ? keepingPlan(free, request, rules, origin) : cpuPlans(free, request, rules, origin)[0];
  return plan === undefined ? undefined : boundBooking(request, plan);
}

/** The node after a workload came (1) or went (-1). */
export function bookCpuMemory(node: CpuMemoryNode, booking: CpuMemory, sign: 1 | -1): CpuMemoryNode {
  const { usage } = node;
  return {
    ...node,
    usage: {
      // Every CPU amount is rounded to 9 decimals (section 1.1).
      cpu: Math.round((usage.cpu + sign * booking.cpu) * 1e9) / 1e9,
      memory: usage.memory + sign * booking.memory,
      cores: added(usage.cores, booking.cores, sign),
      numaMemory: added(usage.numaMemory, booking.numaMemory, sign),
    },
  };
}

function freeOf({ capacity, usage, numa }: CpuMemoryNode): FreeCpu {
  return {
    cores: added(capacity.cores, usage.cores, -1),
    memory: capacity.memory - usage.memory,
    numa,
    numaMemory: added(capacity.numaMemory, usage.numaMemory, -1),
  };
}

function unboundBooking({ cpu, memory }: CpuMemoryRequest): CpuMemoryBooking {
  return { cpu, memory, cores: new Map(), numaMemory: new Map(), numaNode: '' };
}

function boundBooking({ cpu, memory }: CpuMemoryRequest, { cores, numaNode }: CpuPlan): CpuMemoryBooking {
  const numaMemory = new Map(numaNode === '' ? [] : [[numaNode, memory]]);
  return { cpu, memory, cores, numaMemory, numaNode };
}

function added(
  left: ReadonlyMap<string, number>,
  right: ReadonlyMap<string, number>,
  sign: 1 | -1,
): ReadonlyMap<string, number> {
  const sum = new Map(left);
  for (const [name, amount] of right) sum.set(name, (sum.get(name) ?? 0) + sign * amount);
  return sum;
}

/** Section 1.1: 0 if either side is 0. */
export function safeDivide(part: number, whole: number): number {
  return part === 0 || whole === 0 ? 0 : part / whole;
}
