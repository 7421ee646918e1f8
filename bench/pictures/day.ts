import type { JsonObject } from '@eru/kit';
import {
  builtinKinds,
  createScheduler,
  explain,
  Fleet,
  type NodeResources,
  type PlannedNode,
  type Resources,
  type Scheduler,
} from '@eru/scheduler';
import { drawMachine, machineHeight, machineWidth, type DrawnMachine, type Tenant } from './machine.ts';
import { faint, picture, text } from './svg.ts';

const gib = 2 ** 30;
const numaNodes = ['0', '1'];
const coresPerNuma = 8;
const memory = 64 * gib;

/** What happens on the machine, one after the other. */
type Event =
  | { readonly at: string; readonly does: 'nothing'; readonly caption: string }
  | {
      readonly at: string;
      readonly does: 'deploy';
      readonly app: string;
      readonly count: number;
      readonly cores: number;
      readonly bind: boolean;
      readonly gib: number;
    }
  | { readonly at: string; readonly does: 'realloc'; readonly name: string; readonly cores: number }
  | { readonly at: string; readonly does: 'remove'; readonly name: string };

const events: readonly Event[] = [
  { at: '08:00', does: 'nothing', caption: 'an empty machine: 16 cores of 100 pieces, two NUMA nodes' },
  { at: '08:30', does: 'deploy', app: 'api', count: 2, cores: 2, bind: true, gib: 6 },
  { at: '09:15', does: 'deploy', app: 'web', count: 3, cores: 1.5, bind: true, gib: 3 },
  { at: '10:00', does: 'deploy', app: 'cron', count: 1, cores: 0.3, bind: true, gib: 0.5 },
  { at: '11:30', does: 'deploy', app: 'db', count: 1, cores: 4, bind: true, gib: 20 },
  { at: '13:00', does: 'deploy', app: 'batch', count: 2, cores: 2, bind: false, gib: 1 },
  { at: '15:00', does: 'realloc', name: 'web 2', cores: 0.5 },
  { at: '17:00', does: 'remove', name: 'api 1' },
  { at: '18:00', does: 'deploy', app: 'etl', count: 1, cores: 4, bind: true, gib: 8 },
  { at: '19:00', does: 'deploy', app: 'ml', count: 1, cores: 1, bind: true, gib: 4 },
];

interface Workload {
  readonly name: string;
  readonly resources: Resources;
}

export interface Scene {
  readonly at: string;
  readonly svg: string;
  /** What `explain` says, where it was refused. */
  readonly refusal: readonly string[];
}

/** A machine's day: our planner decides, the pictures show what it decided. */
export function day(): Scene[] {
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const fleet = new Fleet(scheduler);
  fleet.set({ name: 'n1', labels: {}, resources: emptyMachine(scheduler) });
  const apps: string[] = [];
  let workloads: Workload[] = [];

  const node = (): PlannedNode => fleet.get('n1') as PlannedNode;
  const book = (add: readonly Resources[], subtract: readonly Resources[]): void =>
    fleet.set({ ...node(), resources: scheduler.book(node().resources, add, subtract) });

  return events.map((event) => {
    let changed: readonly string[] = [];
    let refusal: readonly string[] = [];
    if (event.does === 'deploy') {
      const result = scheduler.plan(fleet, {
        resources: request(event.cores, event.gib * gib, event.bind),
        strategy: 'AUTO',
        count: event.count,
        nodesLimit: 0,
        candidates: ['n1'],
        counts: new Map(),
      });
      if (result.ok) {
        if (!apps.includes(event.app)) apps.push(event.app);
        const placed = result.instances.map(({ resources }, index) => ({
          name: event.count === 1 ? event.app : `${event.app} ${index + 1}`,
          resources,
        }));
        book(
          placed.map(({ resources }) => resources),
          [],
        );
        workloads.push(...placed);
        changed = placed.map(({ name }) => name);
      } else {
        refusal = explain(result.refused);
      }
    } else if (event.does === 'realloc') {
      const current = find(workloads, event.name);
      const delta = { 'keep-cpu-bind': true, 'cpu-request': event.cores, 'cpu-limit': event.cores };
      const result = scheduler.realloc(node(), current.resources, { cpumem: delta });
      if (!result.ok) throw new Error(`the day goes otherwise: ${result.message}`);
      book([result.resources], [current.resources]);
      workloads = workloads.map((one) => (one === current ? { ...one, resources: result.resources } : one));
      changed = [event.name];
    } else if (event.does === 'remove') {
      const gone = find(workloads, event.name);
      book([], [gone.resources]);
      workloads = workloads.filter((one) => one !== gone);
    }
    const machine = draw(scheduler, node().resources, workloads, apps, changed);
    return { at: event.at, svg: scene(event, machine, bookedGib(node().resources), refusal), refusal };
  });
}

function scene(event: Event, machine: DrawnMachine, booked: number, refusal: readonly string[]): string {
  const width = machineWidth(machine) + 32;
  const height = machineHeight + (refusal.length > 0 ? 78 : 58);
  const caption = captionOf(event);
  return picture(width, height, `${event.at} ${caption}`, [
    text(16, 28, event.at, { 'font-size': 13, 'font-weight': 'bold' }),
    text(62, 28, caption, { 'font-size': 13 }),
    text(width - 16, 28, `machine: ${booked} of ${memory / gib} GiB booked`, { 'text-anchor': 'end', fill: faint }),
    ...refusal.map((line) => text(62, 46, `refused: ${line}`, { 'font-size': 12, fill: '#cf222e' })),
    ...drawMachine(machine, 16, refusal.length > 0 ? 62 : 42),
  ]);
}

function captionOf(event: Event): string {
  if (event.does === 'nothing') return event.caption;
  if (event.does === 'remove') return `remove ${event.name}: its pieces are free again`;
  if (event.does === 'realloc') return `realloc ${event.name}: ${event.cores} cores more, where it is`;
  const times = event.count === 1 ? '' : ` × ${event.count}`;
  const each = event.count === 1 ? '' : ' each';
  const cores = `${event.cores} ${event.cores === 1 ? 'core' : 'cores'}`;
  return `deploy ${event.app}${times}: ${event.bind ? `${cores} bound` : `up to ${cores}, not bound`}, ${event.gib} GiB${each}`;
}

function find(workloads: readonly Workload[], name: string): Workload {
  const found = workloads.find((workload) => workload.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}

function request(cores: number, bytes: number, bind: boolean): Resources {
  return {
    cpumem: {
      'cpu-bind': bind,
      'cpu-request': cores,
      'cpu-limit': cores,
      'memory-request': bytes,
      'memory-limit': bytes,
    },
  };
}

function emptyMachine(scheduler: Scheduler): NodeResources {
  const cores = coresPerNuma * numaNodes.length;
  const cpumem = {
    cpu: cores,
    memory,
    'numa-cpu': numaNodes.map((numa) => coresOf(numa).join(',')),
    'numa-memory': numaNodes.map(() => String(memory / numaNodes.length)),
  };
  return scheduler.addNode({ cpumem }, { cpus: cores, memory, storage: 0, resources: {} });
}

function coresOf(numa: string): string[] {
  return Array.from({ length: coresPerNuma }, (_, index) => String(Number(numa) * coresPerNuma + index));
}

/** The machine as booked; workloads without cores of their own get the pool that a remap gives them. */
function draw(
  scheduler: Scheduler,
  resources: NodeResources,
  workloads: readonly Workload[],
  apps: readonly string[],
  changed: readonly string[],
): DrawnMachine {
  const pools = scheduler.remap(resources, new Map(workloads.map((one) => [one.name, one.resources])));
  const tenants = workloads.map(({ name, resources: held }): Tenant => {
    const cpumem = held['cpumem'] ?? {};
    const own = amounts(cpumem['cpu_map']);
    const pool = pools.get(name)?.['cpumem']?.['cpu_map'];
    return {
      name,
      app: apps.indexOf(name.replace(/ \d+$/, '')),
      bound: own.size > 0,
      cores: own.size > 0 ? own : amounts(pool),
      memory: amounts(cpumem['numa_memory']),
      changed: changed.includes(name),
    };
  });
  const perNode = memory / numaNodes.length;
  return {
    numaNodes: new Map(numaNodes.map((numa) => [numa, coresOf(numa)])),
    memory: new Map(numaNodes.map((numa) => [numa, perNode])),
    tenants,
  };
}

function bookedGib({ usage }: NodeResources): number {
  return Number(usage['cpumem']?.['memory'] ?? 0) / gib;
}

function amounts(stored: JsonObject[string] | undefined): Map<string, number> {
  return new Map(Object.entries((stored ?? {}) as Record<string, number>));
}
