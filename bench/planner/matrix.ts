import { assert, seededRandom } from '@eru/kit';
import { builtinKinds, createScheduler, Fleet, type PlannedNode, type Scheduler } from '@eru/scheduler';
import { ourNode } from '../quality/ours.ts';
import { referenceRequest } from '../quality/reference.ts';
import type { Machine, Wish } from '../quality/shapes.ts';
import { referencePlanner } from '../reference/planner.ts';
import { quantile, type Row } from '../table.ts';
import { fleetNodes, halfFull, occupy, occupyReference } from './fleets.ts';
import { liveBytes } from './heap.ts';
import { planRequest, questions, type Question } from './questions.ts';
import { longestStep, stopwatch } from './stopwatch.ts';

const instances = 10;
const changed = 100;
const rounds = 15;
const referenceSample = 100;

/** One fleet that is half full, asked all questions. `classes` different nodes are dealt out. */
export function measureFleet(machine: Machine, size: number, classes: number): Row[] {
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const free = ourNode(scheduler, machine);
  const nodes = fleetNodes(scheduler, machine, size, classes, random);
  const describe = (what: string): string =>
    `${size.toLocaleString('en-US')} × ${machine.cores} cores${machine.numaNodes > 1 ? ', NUMA' : ''}, ${classes === size ? 'all different' : `${classes} classes`}: ${what}`;
  /** The fleet that the targets are for. */
  const aimed = size === 50_000 && machine.cores === 96;

  const [fleet, rows] = loadFleet(scheduler, nodes, describe('the fleet'), machine.cores === 96 ? 1024 : undefined);
  const names = nodes.map(({ name }) => name);
  const change = (): PlannedNode => {
    const node = nodes[random.int(size)] as PlannedNode;
    return { ...node, resources: occupy(scheduler, free, halfFull(machine, random)) };
  };

  for (const question of questions) {
    const what = describe(question.name);
    const request = planRequest(question, 'AUTO', instances, names);
    const timing = stopwatch();
    const stretch = longestStep(scheduler.planInSteps(fleet, request));
    const cold = timing();
    assert(scheduler.plan(fleet, request).ok, `no room: ${what}`);

    const warm = Array.from({ length: rounds }, () => {
      const changes = Array.from({ length: changed }, change);
      const setting = stopwatch();
      for (const node of changes) fleet.set(node);
      const set = setting();
      const planning = stopwatch();
      scheduler.plan(fleet, request);
      return { set, plan: planning() };
    });
    const plans = warm.map(({ plan }) => plan);
    const targets = aimed ? targetsOf(question) : {};
    rows.push(
      figure(what, 'cold', cold, 'ms', targets.cold),
      figure(what, 'longest stretch', stretch, 'ms', 50),
      figure(what, 'warm', quantile(plans, 0.5), 'ms', targets.warm),
      figure(what, 'worst warm', Math.max(...plans), 'ms'),
      figure(
        what,
        `set ${changed}`,
        quantile(
          warm.map(({ set }) => set),
          0.5,
        ),
        'ms',
      ),
    );
    // The reference knows no affinity.
    if (question.affinity !== undefined) continue;
    const reference = referenceTime(machine, question.wish) * size;
    rows.push(
      figure(what, 'reference', reference, 'ms'),
      figure(what, 'reference / cold', reference / cold, '×'),
      figure(what, 'reference / warm', reference / quantile(plans, 0.5), '×'),
    );
  }
  return rows;
}

/** `target`: bytes per node. */
function loadFleet(
  scheduler: Scheduler,
  nodes: readonly PlannedNode[],
  what: string,
  target: number | undefined,
): [Fleet, Row[]] {
  const load = (kinds: Scheduler['kinds']): { fleet: Fleet; ms: number; perNode: number } => {
    const before = liveBytes();
    const fleet = new Fleet({ kinds });
    const loading = stopwatch();
    for (const node of nodes) fleet.set(node);
    return { fleet, ms: loading(), perNode: (liveBytes() - before) / nodes.length };
  };
  // In this order: the first lets go of what the measurement itself leaves behind.
  const alone = load(scheduler.kinds.filter(({ name }) => name === 'cpumem')).perNode;
  const all = load(scheduler.kinds);
  const rows = [figure(what, 'load', all.ms, 'ms')];
  // What is left behind all the same would drown a small fleet.
  if (nodes.length >= 10_000)
    rows.push(
      figure(what, 'memory per node, cpumem alone', alone, 'B', target),
      figure(what, 'memory per node, all kinds', all.perNode, 'B', target),
    );
  return [all.fleet, rows];
}

function figure(what: string, aspect: string, value: number, unit: string, target?: number): Row {
  return { bench: 'planner', what, aspect, value, unit, ...(target === undefined ? {} : { target, better: 'less' }) };
}

function targetsOf({ name }: Question): { cold?: number; warm?: number } {
  if (name === '1.3 bound') return { cold: 1000, warm: 2 };
  return name === 'unbound' ? { warm: 1 } : {};
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
