import type { ShareRules } from './cpu-plans.ts';
import {
  bookCpuMemory,
  cpuMemoryCapacity,
  deployCpuMemory,
  reallocCpuMemory,
  type CpuMemoryBooking,
  type CpuMemoryNode,
  type CpuMemoryRequest,
  type KindCapacity,
} from './cpumem.ts';
import {
  bookStorage,
  deployStorage,
  reallocStorage,
  storageCapacity,
  type StorageBooking,
  type StorageNode,
} from './storage.ts';
import type { Binding } from './volume-plans.ts';
import { strategies, type NodeInfo } from './strategies.ts';

/** Never mutated: a booking makes a new value, which is what lets capacities be remembered by node. */
export interface ReferenceNode {
  readonly cpumem: CpuMemoryNode;
  readonly storage: StorageNode;
}

export interface ReferenceRequest {
  readonly cpumem: CpuMemoryRequest;
  /** Where there are none, the storage plugin is not asked: it would only cap the count. */
  readonly volumes: readonly Binding[];
}

export interface ReferenceBooking {
  readonly cpumem: CpuMemoryBooking;
  readonly storage: StorageBooking;
}

/** From a request to nodes (reference/scheduling.md sections 1.4 and 7.3). */
export interface ReferencePlanner {
  /** Without the nodes where none fits. `counts`: workloads of the same app and entrypoint by node. */
  survey(
    nodes: ReadonlyMap<string, ReferenceNode>,
    request: ReferenceRequest,
    counts: ReadonlyMap<string, number>,
  ): NodeInfo[];
  plan(
    nodes: ReadonlyMap<string, ReferenceNode>,
    request: ReferenceRequest,
    strategy: keyof typeof strategies,
    count: number,
    counts: ReadonlyMap<string, number>,
  ): (readonly [node: string, booking: ReferenceBooking])[] | undefined;
  /** `request` holds the new amounts. */
  realloc(node: ReferenceNode, current: ReferenceBooking, request: ReferenceRequest): ReferenceBooking | undefined;
}

type Capacity = (node: ReferenceNode, request: ReferenceRequest) => KindCapacity;

/**
 * @param keeping  whether a realloc keeps the cores that it can, as ours must.
 * @param remember  whether the capacity of a node that did not change is looked up: the original counts anew each time.
 */
export function referencePlanner(
  rules: ShareRules,
  { remember, keeping = false }: { readonly remember: boolean; readonly keeping?: boolean },
): ReferencePlanner {
  const capacity: Capacity = (node, request) => {
    const ofCpuMemory = cpuMemoryCapacity(node.cpumem, request.cpumem, rules);
    if (request.volumes.length === 0) return ofCpuMemory;
    return combine([ofCpuMemory, storageCapacity(node.storage, request.volumes)]);
  };
  const capacityOf = remember ? remembering(capacity) : capacity;

  const survey: ReferencePlanner['survey'] = (nodes, request, counts) => {
    const infos: NodeInfo[] = [];
    for (const [name, node] of nodes) {
      const { capacity, usage, rate } = capacityOf(node, request);
      if (capacity > 0) infos.push({ name, capacity, usage, rate, count: counts.get(name) ?? 0 });
    }
    return infos;
  };

  return {
    survey,
    plan(nodes, request, strategy, count, counts) {
      const shares = strategies[strategy](survey(nodes, request, counts), count, 0);
      if (shares === undefined) return undefined;
      return [...shares].flatMap(([name, instances]) => {
        const node = nodes.get(name) as ReferenceNode;
        const cpumem = deployCpuMemory(node.cpumem, request.cpumem, instances, rules);
        const storage = deployStorage(node.storage, request.volumes, instances);
        if (cpumem === undefined || storage === undefined) throw new Error(`${name} has no room for ${instances}`);
        return cpumem.map((booking, index) => {
          return [name, { cpumem: booking, storage: storage[index] as StorageBooking }] as const;
        });
      });
    },
    realloc(node, current, request) {
      const cpumem = reallocCpuMemory(node.cpumem, current.cpumem, request.cpumem, rules, keeping);
      const storage = reallocStorage(node.storage, current.storage, request.volumes);
      return cpumem === undefined || storage === undefined ? undefined : { cpumem, storage };
    },
  };
}

/** The node after a workload came (1) or went (-1). */
export function bookReference(node: ReferenceNode, booking: ReferenceBooking, sign: 1 | -1): ReferenceNode {
  return {
    cpumem: bookCpuMemory(node.cpumem, booking.cpumem, sign),
    storage: bookStorage(node.storage, booking.storage, sign),
  };
}

/** Section 1.4, with the true weighted mean. */
function combine(kinds: readonly KindCapacity[]): KindCapacity {
  const weight = kinds.reduce((sum, kind) => sum + kind.weight, 0);
  const mean = (of: (kind: KindCapacity) => number): number =>
    kinds.reduce((sum, kind) => sum + kind.weight * of(kind), 0) / weight;
  return {
    capacity: Math.min(...kinds.map(({ capacity }) => capacity)),
    usage: mean(({ usage }) => usage),
    rate: mean(({ rate }) => rate),
    weight,
  };
}

function remembering(capacity: Capacity): Capacity {
  const known = new WeakMap<ReferenceNode, Map<ReferenceRequest, KindCapacity>>();
  return (node, request) => {
    let answers = known.get(node);
    if (answers === undefined) known.set(node, (answers = new Map<ReferenceRequest, KindCapacity>()));
    let answer = answers.get(request);
    if (answer === undefined) answers.set(request, (answer = capacity(node, request)));
    return answer;
  };
}
