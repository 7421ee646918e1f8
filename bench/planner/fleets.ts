import type { Random } from '@eru/kit';
import type { NodeResources, PlannedNode, Scheduler } from '@eru/scheduler';
import { coreIds, nodeNames, numaIds } from '../quality/machines.ts';
import { ourNode } from '../quality/ours.ts';
import { referenceNode } from '../quality/reference.ts';
import { gib, type Machine } from '../quality/shapes.ts';
import { bookCpuMemory } from '../reference/cpumem.ts';
import type { ReferenceNode } from '../reference/planner.ts';
import { bookStorage } from '../reference/storage.ts';

/** What is booked on one machine. */
export interface Occupancy {
  /** Which of a hundred apps has an instance here. */
  readonly app: number;
  /** Bytes on each volume. */
  readonly volumes: ReadonlyMap<string, number>;
  /** Core -> pieces. */
  readonly cores: ReadonlyMap<string, number>;
  /** Bytes. */
  readonly memory: number;
  readonly numaMemory: ReadonlyMap<string, number>;
}

export function machineOf(cores: number, numaNodes: number): Machine {
  return { cores, memory: cores * 4 * gib, numaNodes, volumes: { '/d0': 1024 * gib, '/d1': 1024 * gib } };
}

/** Half full: two cores of five are free, two are taken, one is in fragments. */
export function halfFull(machine: Machine, random: Random): Occupancy {
  const cores = new Map(
    coreIds(machine).map((core) => {
      const drawn = random.int(5);
      return [core, drawn < 2 ? 0 : drawn < 4 ? 100 : 1 + random.int(99)];
    }),
  );
  const amount = (): number => half(random, machine.memory / machine.numaNodes);
  const numaMemory = new Map(numaIds(machine).map((node) => [node, amount()]));
  const memory = numaMemory.size === 0 ? amount() : [...numaMemory.values()].reduce((sum, bytes) => sum + bytes, 0);
  const volumes = new Map(Object.entries(machine.volumes ?? {}).map(([path, size]) => [path, half(random, size)]));
  return { app: random.int(100), volumes, cores, memory, numaMemory };
}

/** Around half of it, in whole GiB. */
function half(random: Random, bytes: number): number {
  return Math.floor((bytes / gib) * (0.3 + 0.4 * random.next())) * gib;
}

/** `classes` occupancies are drawn and dealt out; as many as there are nodes = all nodes are different. */
export function fleetNodes(
  scheduler: Scheduler,
  machine: Machine,
  size: number,
  classes: number,
  random: Random,
): PlannedNode[] {
  const free = ourNode(scheduler, machine);
  const kinds = Array.from({ length: classes }, () => occupy(scheduler, free, halfFull(machine, random)));
  return nodeNames(size).map((name, index) => ({
    name,
    labels: { zone: `z${index % 8}`, rack: `r${index % 400}` },
    resources: kinds[index % classes] as NodeResources,
  }));
}

export function occupy(scheduler: Scheduler, free: NodeResources, occupancy: Occupancy): NodeResources {
  const { app, volumes, cores, memory, numaMemory } = occupancy;
  const cpumem = {
    cpu_request: cpuOf(occupancy),
    cpu_limit: cpuOf(occupancy),
    memory_request: memory,
    memory_limit: memory,
    cpu_map: Object.fromEntries(cores),
    numa_memory: Object.fromEntries(numaMemory),
    numa_node: '',
  };
  const plan = [...volumes].map(([path, bytes]) => [`AUTO:${path}:rw:${bytes}:0:0:0:0`, { [path]: bytes }]);
  const storage = { volume_plan_request: Object.fromEntries(plan), storage_request: total(volumes) };
  return scheduler.book(free, [{ cpumem, storage, affinity: { labels: { app: `a${app}` } } }], []);
}

/** The same machine for the yardstick. */
export function occupyReference(machine: Machine, occupancy: Occupancy): ReferenceNode {
  const cpumem = { ...occupancy, cpu: cpuOf(occupancy), numaNode: '' };
  const free = referenceNode(machine);
  return {
    cpumem: bookCpuMemory(free.cpumem, cpumem, 1),
    storage: bookStorage(free.storage, { volumes: occupancy.volumes, io: new Map() }, 1),
  };
}

function cpuOf({ cores }: Occupancy): number {
  return total(cores) / 100;
}

function total(amounts: ReadonlyMap<string, number>): number {
  return [...amounts.values()].reduce((sum, amount) => sum + amount, 0);
}
