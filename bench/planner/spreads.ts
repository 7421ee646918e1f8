import { assert, seededRandom } from '@eru/kit';
import { builtinKinds, createScheduler, Fleet, type PlannedNode } from '@eru/scheduler';
import { nodeNames } from '../quality/machines.ts';
import { ourNode } from '../quality/ours.ts';
import { gib, type Machine, type Wish } from '../quality/shapes.ts';
import { quantile, type Row } from '../table.ts';
import { fleetNodes, machineOf } from './fleets.ts';
import { planRequest } from './questions.ts';
import { stopwatch } from './stopwatch.ts';

const rounds = 60;
const wish: Wish = { bind: false, cpu: 1, memory: gib };

/** Strategies over many nodes, for an app that runs on a thousand of them, after one node has changed. */
export function hundredInstances(size: number): Row[] {
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const nodes = fleetNodes(scheduler, machineOf(24, 1), size, size, random);
  const fleet = new Fleet(scheduler);
  for (const node of nodes) fleet.set(node);
  const names = nodes.map(({ name }) => name);
  const counts = new Map(names.slice(0, 1000).map((name) => [name, random.int(10)]));
  return (['AUTO', 'GLOBAL', 'DRAINED'] as const).map((strategy): Row => {
    const request = planRequest({ wish }, strategy, 100, names, counts);
    const samples = Array.from({ length: rounds }, () => {
      fleet.set({ ...(nodes[random.int(size)] as PlannedNode) });
      const timing = stopwatch();
      assert(scheduler.plan(fleet, request).ok, 'they fit');
      return timing();
    });
    return row(`${size.toLocaleString('en-US')} nodes, 100 instances, ${strategy}`, samples, 2);
  });
}

/** AUTO deals out all the room but one of 10,000 nodes on which any number of instances runs already. */
export function countsOnly(): Row {
  const [size, room] = [10_000, 1024];
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const fleet = new Fleet(scheduler);
  const machine: Machine = { cores: 16, memory: room * gib, numaNodes: 1 };
  const names = nodeNames(size);
  const resources = ourNode(scheduler, machine);
  for (const name of names) fleet.set({ name, labels: {}, resources });
  const counts = new Map(names.map((name) => [name, random.int(room)]));
  const request = planRequest({ wish }, 'AUTO', size * room - 1, names, counts);
  const samples = Array.from({ length: rounds }, () => {
    const timing = stopwatch();
    const spread = scheduler.spread(fleet, request);
    const taken = timing();
    assert(spread.ok, 'they fit');
    const placed = spread.choices.reduce((sum, { instances }) => sum + instances, 0);
    assert(placed === request.count, `${placed} placed`);
    return taken;
  });
  const [nodes, instances] = [size, request.count].map((amount) => amount.toLocaleString('en-US'));
  return row(`${nodes} nodes, ${instances} instances, AUTO, counts only`, samples, 25);
}

function row(what: string, samples: readonly number[], target: number): Row {
  const value = quantile(samples, 0.5);
  return { bench: 'planner', what, aspect: 'warm', value, unit: 'ms', target, better: 'less' };
}
