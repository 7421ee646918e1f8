import { Ledger } from './ledger.ts';
import { nodeNames } from './machines.ts';
import type { Shape, Wish } from './shapes.ts';
import type { Holding, Subject, SubjectMaker } from './subject.ts';
import type { Step } from './traces.ts';

export interface Figures {
  /** Instances placed before the first deploy was refused. */
  readonly untilRefusal: number;
  /** Share of all instances asked for that were placed. */
  readonly placed: number;
  /** The same, each instance counted by its cores: large ones are the hard ones. */
  readonly placedCores: number;
  /** Share of the reallocs of living instances that were granted. */
  readonly resized: number;
  // Means over samples along the second half of the trace, when the fleet is full.
  readonly booked: number;
  readonly strandedBest: number;
  readonly strandedMean: number;
  /** NaN without NUMA. */
  readonly insideNuma: number;
  /** What the judge found over capacity or not as asked, with how often. */
  readonly faults: ReadonlyMap<string, number>;
  readonly seconds: number;
}

export interface Played {
  readonly figures: Figures;
  /** What lives at the end, by instance. */
  readonly living: ReadonlyMap<number, Wish>;
}

const samples = 50;

/** Leads one planner through a trace. */
export function play(shape: Shape, steps: readonly Step[], make: SubjectMaker): Played {
  const candidates = nodeNames(shape.machines);
  const subject = make(shape.machine, candidates, shape.maxShare);
  const ledger = new Ledger(shape);
  const living = new Map<number, { holding: Holding; readonly app: number }>();
  const tally = { asked: 0, placed: 0, askedCores: 0, placedCores: 0, resizes: 0, resized: 0, untilRefusal: -1 };
  const means = { booked: 0, strandedBest: 0, strandedMean: 0, insideNuma: 0 };
  let milliseconds = 0;
  const timed = <T>(act: () => T): T => {
    const begun = performance.now();
    const result = act();
    milliseconds += performance.now() - begun;
    return result;
  };

  for (const [index, step] of steps.entries()) {
    if (step.type === 'create') create(step);
    else if (step.type === 'remove') remove(step.id);
    else resize(step.id, step.wish);
    if (index >= steps.length / 2 && index % Math.ceil(steps.length / 2 / samples) === 0) sample();
  }

  function create({ ids, app, strategy, wish }: Step & { type: 'create' }): void {
    const count = ids.length;
    tally.asked += count;
    tally.askedCores += count * wish.cpu;
    const holdings = timed(() => subject.place({ wish, count, strategy, app, candidates }));
    if (holdings === undefined) {
      if (tally.untilRefusal < 0) tally.untilRefusal = tally.placed;
      return;
    }
    tally.placed += count;
    tally.placedCores += count * wish.cpu;
    // In node order, whichever way the planner lists them: who is removed later must not depend on that.
    const ordered = holdings.toSorted((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
    for (const [position, holding] of ordered.entries()) {
      ledger.add(holding);
      living.set(ids[position] as number, { holding, app });
    }
  }

  function remove(id: number): void {
    const instance = living.get(id);
    if (instance === undefined) return;
    timed(() => subject.release(instance.holding, instance.app));
    ledger.remove(instance.holding);
    living.delete(id);
  }

  function resize(id: number, wish: Wish): void {
    const instance = living.get(id);
    if (instance === undefined) return;
    tally.resizes += 1;
    const holding = timed(() => subject.resize(instance.holding, wish));
    if (holding === undefined) return;
    tally.resized += 1;
    ledger.remove(instance.holding);
    ledger.add(holding);
    instance.holding = holding;
  }

  function sample(): void {
    const { best, mean } = ledger.stranded();
    means.booked += ledger.booked() / samples;
    means.strandedBest += best / samples;
    means.strandedMean += mean / samples;
    means.insideNuma += ledger.insideNuma() / samples;
  }

  return {
    figures: {
      untilRefusal: tally.untilRefusal < 0 ? tally.placed : tally.untilRefusal,
      placed: tally.placed / tally.asked,
      placedCores: tally.placedCores / tally.askedCores,
      resized: tally.resized / tally.resizes,
      ...means,
      faults: ledger.faults,
      seconds: milliseconds / 1000,
    },
    living: new Map([...living].map(([id, { holding }]) => [id, holding.wish])),
  };
}

/** How many machines these need, filled one after the other: each instance goes to the first that still takes it. */
export function nodesFor(shape: Shape, wishes: readonly Wish[], make: SubjectMaker): number {
  const names = nodeNames(wishes.length);
  // Made as it goes: a planner over thousands of empty machines would be asked about none of them.
  const subjects: Subject[] = [];
  for (const wish of wishes) {
    const placed = subjects.some((subject, index) => put(subject, wish, names[index] as string));
    if (placed) continue;
    const name = names[subjects.length] as string;
    const opened = make(shape.machine, [name], shape.maxShare);
    if (!put(opened, wish, name)) throw new Error(`${shape.name}: ${wish.cpu} cores do not fit an empty machine`);
    subjects.push(opened);
  }
  return subjects.length;
}

function put(subject: Subject, wish: Wish, name: string): boolean {
  return subject.place({ wish, count: 1, strategy: 'DRAINED', app: 0, candidates: [name] }) !== undefined;
}
