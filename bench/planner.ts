import { assert, seededRandom } from '@eru/kit';
import {
  builtinKinds,
  createScheduler,
  Fleet,
  type PlannedNode,
  type PlanRequest,
  type Strategy,
} from '@eru/scheduler';

import { fleetNodes, halfFull, machineOf, occupy, occupyReference } from './planner/fleets.ts';
import { liveBytes } from './planner/heap.ts';
import { nodeNames } from './quality/machines.ts';
import { ourNode, ourRequest } from './quality/ours.ts';
import { referenceRequest } from './quality/reference.ts';
import { gib, type Machine, type Wish } from './quality/shapes.ts';
import { referencePlanner } from './reference/planner.ts';
import { quantile, type Bench, type Row } from './table.ts';

const instances = 10;
const changed = 100;
const rounds = 15;
const referenceSample = 100;

const wishes: readonly (Wish & { readonly name: string })[] = [
  { name: '0.5 bound', bind: true, cpu: 0.5, memory: gib },
  { name: '1.3 bound', bind: true, cpu: 1.3, memory: gib },
  { name: '2 bound', bind: true, cpu: 2, memory: gib },
  { name: 'unbound', bind: false, cpu: 0.5, memory: gib },
];

/** Decisions on fleets that are half full: the first of its kind, and the next ones, after 100 nodes have changed. */
export const plannerBench: Bench = {
  name: 'planner',
  *run({ quick }) {
    yield [...spreads(quick), ...countsOnly()];
    yield* matrix(quick);
  },
};

function* matrix(quick: boolean): Iterable<Row[]> {
  for (const cores of [24, 96, 256]) {
    for (const numaNodes of [1, 2]) {
      for (const size of quick ? [1_000] : [1_000, 10_000, 50_000]) {
        for (const classes of [20, size]) yield measure(machineOf(cores, numaNodes), size, classes);
      }
    }
  }
}

/** One fleet, all requests. */
function measure(machine: Machine, size: number, classes: number): Row[] {
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const nodes = fleetNodes(scheduler, machine, size, classes, random);
  const free = ourNode(scheduler, machine);
  const candidates = nodes.map(({ name }) => name);
  const title = `${size.toLocaleString('en-US')} × ${machine.cores} cores${machine.numaNodes > 1 ? ', NUMA' : ''}, ${classes === size ? 'all different' : `${classes} classes`}`;
  const row = (what: string, aspect: string, value: number, unit: string, target?: number): Row => ({
    bench: 'planner',
    what: `${title}: ${what}`,
    aspect,
    value,
    unit,
    ...(target === undefined ? {} : { target, better: 'less' }),
  });
  /** The fleet that the targets are for. */
  const aimed = size === 50_000 && machine.cores === 96;

  const before = liveBytes();
  const fleet = new Fleet(scheduler);
  const loading = stopwatch();
  for (const node of nodes) fleet.set(node);
  const loaded = loading();
  const perNode = (liveBytes() - before) / size;
  const rows = [
    row('the fleet', 'load', loaded, 'ms'),
    // What the measurement itself leaves behind would drown a small fleet.
    ...(size < 10_000
      ? []
      : [row('the fleet', 'memory per node', perNode, 'B', machine.cores === 96 ? 1024 : undefined)]),
  ];

  for (const wish of wishes) {
    const request = planRequest(wish, 'AUTO', instances, candidates);
    const timing = stopwatch();
    const stretch = longestStep(scheduler.planInSteps(fleet, request));
    const cold = timing();
    const warm: number[] = [];
    const settings: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const changes = Array.from({ length: changed }, (): PlannedNode => {
        const node = nodes[random.int(size)] as PlannedNode;
        return { ...node, resources: occupy(scheduler, free, halfFull(machine, random)) };
      });
      const setting = stopwatch();
      for (const node of changes) fleet.set(node);
      settings.push(setting());
      const planning = stopwatch();
      scheduler.plan(fleet, request);
      warm.push(planning());
    }
    const reference = referenceTime(machine, wish) * size;
    const typical = quantile(warm, 0.5);
    const warmTarget = wish.bind ? 2 : 1;
    rows.push(
      row(wish.name, 'cold', cold, 'ms', aimed && wish.cpu === 1.3 ? 1000 : undefined),
      row(wish.name, 'longest stretch', stretch, 'ms', 50),
      row(wish.name, 'warm', typical, 'ms', aimed && (wish.cpu === 1.3 || !wish.bind) ? warmTarget : undefined),
      row(wish.name, 'worst warm', Math.max(...warm), 'ms'),
      row(wish.name, 'set 100', quantile(settings, 0.5), 'ms'),
      row(wish.name, 'reference', reference, 'ms'),
      row(wish.name, 'reference / cold', reference / cold, '×'),
      row(wish.name, 'reference / warm', reference / typical, '×'),
    );
  }
  return rows;
}

/** Milliseconds per node that the yardstick takes to count what fits: of a sample, for it has no other cost that matters. */
function referenceTime(machine: Machine, wish: Wish): number {
  const random = seededRandom(1);
  const nodes = new Map(
    Array.from({ length: referenceSample }, (_, index) => [
      String(index),
      occupyReference(machine, halfFull(machine, random)),
    ]),
  );
  const request = referenceRequest(wish);
  const planner = referencePlanner({ shareBase: 100, maxShare: -1, mendMemory: true }, { remember: false });
  planner.survey(nodes, request, new Map());
  const timing = stopwatch();
  planner.survey(nodes, request, new Map());
  return timing() / referenceSample;
}

/** Strategies over many nodes, for an app that runs on a thousand of them. */
function spreads(quick: boolean): Row[] {
  const size = quick ? 5_000 : 50_000;
  const random = seededRandom(1);
  const machine = machineOf(24, 1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const nodes = fleetNodes(scheduler, machine, size, size, random);
  const candidates = nodes.map(({ name }) => name);
  const fleet = new Fleet(scheduler);
  for (const node of nodes) fleet.set(node);
  const counts = new Map(candidates.slice(0, 1000).map((name) => [name, random.int(10)]));
  const wish: Wish = { bind: false, cpu: 1, memory: gib };
  return (['AUTO', 'GLOBAL', 'DRAINED'] as const).map((strategy) => {
    const request = { ...planRequest(wish, strategy, 100, candidates), counts };
    const samples = Array.from({ length: rounds }, () => {
      const node = nodes[random.int(size)] as PlannedNode;
      fleet.set({ ...node });
      const timing = stopwatch();
      scheduler.plan(fleet, request);
      return timing();
    });
    return {
      bench: 'planner',
      what: `${size.toLocaleString('en-US')} nodes, 100 instances, ${strategy}`,
      aspect: 'warm',
      value: quantile(samples, 0.5),
      unit: 'ms',
      ...(strategy === 'DRAINED' ? {} : { target: 2, better: 'less' as const }),
    };
  });
}

/** AUTO deals out all the room but one of 10,000 nodes on which any number of instances runs already. */
function countsOnly(): Row[] {
  const [size, room] = [10_000, 1024];
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const fleet = new Fleet(scheduler);
  const machine: Machine = { cores: 16, memory: room * gib, numaNodes: 1 };
  const candidates = nodeNames(size);
  const resources = ourNode(scheduler, machine);
  for (const name of candidates) fleet.set({ name, labels: {}, resources });
  const counts = new Map(candidates.map((name) => [name, random.int(room)]));
  const wish: Wish = { bind: false, cpu: 1, memory: gib };
  const request = { ...planRequest(wish, 'AUTO', size * room - 1, candidates), counts };
  const samples = Array.from({ length: rounds }, () => {
    const timing = stopwatch();
    const spread = scheduler.spread(fleet, request);
    const taken = timing();
    assert(spread.ok, 'they fit');
    const placed = spread.choices.reduce((sum, { instances }) => sum + instances, 0);
    assert(placed === request.count, `${placed} placed`);
    return taken;
  });
  const what = `${size.toLocaleString('en-US')} nodes, ${request.count.toLocaleString('en-US')} instances, AUTO, counts only`;
  return [
    { bench: 'planner', what, aspect: 'warm', value: quantile(samples, 0.5), unit: 'ms', target: 25, better: 'less' },
  ];
}

function planRequest(wish: Wish, strategy: Strategy, count: number, candidates: readonly string[]): PlanRequest {
  return { resources: ourRequest(wish), strategy, count, nodesLimit: 0, candidates, counts: new Map() };
}

/** Runs all steps; in milliseconds, the longest time in which nothing else could have run. */
function longestStep(steps: Iterator<unknown>): number {
  let longest = 0;
  for (let done = false; !done;) {
    const timing = stopwatch();
    done = steps.next().done === true;
    longest = Math.max(longest, timing());
  }
  return longest;
}

/** Milliseconds since it was made. */
function stopwatch(): () => number {
  const begun = performance.now();
  return () => performance.now() - begun;
}
