import { assert, type JsonObject } from '@eru/kit';
import {
  builtinKinds,
  createScheduler,
  Fleet,
  type NodeResources,
  type PlannedNode,
  type Resources,
  type Scheduler,
} from '@eru/scheduler';
import { AppCounts } from './app-counts.ts';
import { coreIds, numaIds, numaNodeOf } from './machines.ts';
import type { Machine, Wish } from './shapes.ts';
import type { Holding, Subject } from './subject.ts';

/** Our scheduler through its public face, as core uses it. */
export function ourSubject(machine: Machine, names: readonly string[], maxShare: number): Subject {
  const scheduler = createScheduler({ kinds: builtinKinds(), maxShare });
  const fleet = new Fleet(scheduler);
  const free = ourNode(scheduler, machine);
  for (const name of names) fleet.set({ name, labels: {}, resources: free });
  const booked = new WeakMap<Holding, Resources>();
  const counts = new AppCounts();
  const book = (name: string, add: readonly Resources[], subtract: readonly Resources[]): void => {
    const node = fleet.get(name) as PlannedNode;
    fleet.set({ ...node, resources: scheduler.book(node.resources, add, subtract) });
  };
  const hold = (node: string, wish: Wish, resources: Resources): Holding => {
    const holding = { node, wish, ...placeOf(resources) };
    booked.set(holding, resources);
    return holding;
  };

  return {
    place({ wish, count, strategy, app, candidates }) {
      const plan = scheduler.plan(fleet, {
        resources: ourRequest(wish),
        strategy,
        count,
        nodesLimit: 0,
        candidates,
        counts: counts.of(app),
      });
      if (!plan.ok) {
        assert(plan.identity === 'resource', plan.message);
        return undefined;
      }
      return plan.instances.map(({ node, resources }) => {
        book(node, [resources], []);
        counts.add(app, node, 1);
        return hold(node, wish, resources);
      });
    },
    release(holding, app) {
      book(holding.node, [], [booked.get(holding) as Resources]);
      counts.add(app, holding.node, -1);
    },
    resize(holding, wish) {
      const node = fleet.get(holding.node) as PlannedNode;
      const current = booked.get(holding) as Resources;
      const answer = scheduler.realloc(node, current, delta(holding.wish, wish));
      if (!answer.ok) return undefined;
      book(node.name, [answer.resources], [current]);
      return hold(node.name, wish, answer.resources);
    },
  };
}

export function ourNode(scheduler: Scheduler, machine: Machine): NodeResources {
  const { cores, memory, numaNodes, volumes = {} } = machine;
  const ids = coreIds(machine);
  const numas = numaIds(machine);
  const cpumem = {
    cpu: cores,
    memory,
    'numa-cpu': numas.map((numa) => ids.filter((core) => numaNodeOf(core, machine) === numa).join(',')),
    'numa-memory': numas.map(() => String(memory / numaNodes)),
  };
  const storage = { volumes: Object.entries(volumes).map(([path, bytes]) => `${path}:${bytes}`) };
  return scheduler.addNode({ cpumem, storage }, { cpus: cores, memory, storage: 0, resources: {} });
}

export function ourRequest({ bind, cpu, memory, volumes }: Wish): Resources {
  return {
    cpumem: {
      'cpu-bind': bind,
      'cpu-request': cpu,
      'cpu-limit': cpu,
      'memory-request': memory,
      'memory-limit': memory,
    },
    ...(volumes === undefined ? {} : { storage: { volumes: [...volumes] } }),
  };
}

function delta(from: Wish, to: Wish): Resources {
  const cpu = Math.round((to.cpu - from.cpu) * 1e9) / 1e9;
  const memory = to.memory - from.memory;
  return {
    cpumem: {
      'keep-cpu-bind': true,
      'cpu-request': cpu,
      'cpu-limit': cpu,
      'memory-request': memory,
      'memory-limit': memory,
    },
    ...(to.volumes === undefined ? {} : { storage: { volumes: volumeDelta(from.volumes ?? [], to.volumes) } }),
  };
}

/** Sizes are added; what ends below zero goes away. */
function volumeDelta(from: readonly string[], to: readonly string[]): string[] {
  const sizes = new Map<string, number>();
  for (const binding of from) {
    const [name, size] = nameAndSize(binding);
    sizes.set(name, -size - 1);
  }
  for (const binding of to) {
    const [name, size] = nameAndSize(binding);
    const held = sizes.get(name);
    sizes.set(name, held === undefined ? size : size + held + 1);
  }
  return [...sizes].map(([name, size]) => `${name}:${size}`);
}

function nameAndSize(binding: string): [name: string, size: number] {
  const [source = '', destination = '', flags = '', size = '0'] = binding.split(':');
  return [`${source}:${destination}:${flags}`, Number(size)];
}

function placeOf(resources: Resources): Pick<Holding, 'cores' | 'numaNode' | 'volumes'> {
  const { cpu_map: cores, numa_node: numaNode } = resources['cpumem'] ?? {};
  const plan = (resources['storage']?.['volume_plan_request'] ?? {}) as Record<string, Record<string, number>>;
  const volumes = new Map<string, number>();
  for (const [path, bytes] of Object.values(plan).flatMap((taken) => Object.entries(taken))) {
    volumes.set(path, (volumes.get(path) ?? 0) + bytes);
  }
  return {
    cores: new Map(Object.entries((cores ?? {}) as JsonObject) as [string, number][]),
    numaNode: typeof numaNode === 'string' ? numaNode : '',
    volumes,
  };
}
