import { Ledger } from './ledger.ts';
import { nodeNames } from './machines.ts';
import type { Shape, Wish } from './shapes.ts';
import type { Holding, Subject, SubjectMaker } from './subject.ts';
import type { Step } from './traces.ts';

/** Each figure once for every part of the trace, so that one can tell a difference from chance. */
export interface Figures {
  /** Share of all instances asked for that were placed. */
  readonly placed: readonly number[];
  /** The same, each instance counted by its cores: large ones are the hard ones. */
  readonly placedCores: readonly number[];
  /** Share of the reallocs of living instances that were granted. */
  readonly resized: readonly number[];
  /** See `Ledger.stranded`. */
  readonly strandedBest: readonly number[];
  readonly strandedMean: readonly number[];
  /** Empty without NUMA. */
  readonly insideNuma: readonly number[];
}

export interface Played {
  readonly figures: Figures;
  /** Instances placed before the first deploy was refused. */
  readonly untilRefusal: number;
  /** What the judge found over capacity or not as asked, with how often. */
  readonly faults: ReadonlyMap<string, number>;
  readonly seconds: number;
  /** What lives at the end of each part, by instance. */
  readonly living: readonly ReadonlyMap<number, Wish>[];
}

/** The first part, in which the fleet fills, is left out of the figures. */
const parts = 11;
const samplesPerPart = 5;

/** Leads one planner through a trace. */
export function play(shape: Shape, steps: readonly Step[], make: SubjectMaker): Played {
  const candidates = nodeNames(shape.machines);
  const subject = make(shape.machine, candidates, shape.maxShare);
  const ledger = new Ledger(shape);
  const living = new Map<number, { holding: Holding; readonly app: number }>();
  let untilRefusal: number | undefined;
  let instances = 0;
  let milliseconds = 0;
  const timed = <T>(act: () => T): T => {
    const begun = performance.now();
    const result = act();
    milliseconds += performance.now() - begun;
    return result;
  };

  const create = (step: Step & { type: 'create' }, tally: Tally): void => {
    const { ids, app, strategy, wish } = step;
    const count = ids.length;
    tally.asked += count;
    tally.askedCores += count * wish.cpu;
    const holdings = timed(() => subject.place({ wish, count, strategy, app, candidates }));
    if (holdings === undefined) {
      untilRefusal ??= instances;
      return;
    }
    instances += count;
    tally.placed += count;
    tally.placedCores += count * wish.cpu;
    // In node order, whichever way the planner lists them: who is removed later must not depend on that.
    const ordered = holdings.toSorted((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
    for (const [position, holding] of ordered.entries()) {
      ledger.add(holding);
      living.set(ids[position] as number, { holding, app });
    }
  };

  const remove = (id: number): void => {
    const instance = living.get(id);
    if (instance === undefined) return;
    timed(() => subject.release(instance.holding, instance.app));
    ledger.remove(instance.holding);
    living.delete(id);
  };

  const resize = (id: number, wish: Wish, tally: Tally): void => {
    const instance = living.get(id);
    if (instance === undefined) return;
    tally.resizes += 1;
    const holding = timed(() => subject.resize(instance.holding, wish));
    if (holding === undefined) return;
    tally.resized += 1;
    ledger.remove(instance.holding);
    ledger.add(holding);
    instance.holding = holding;
  };

  const length = Math.ceil(steps.length / parts);
  const tallies = Array.from({ length: parts }, (_, part) => {
    const tally = newTally();
    for (const [index, step] of steps.slice(part * length, (part + 1) * length).entries()) {
      if (step.type === 'create') create(step, tally);
      else if (step.type === 'remove') remove(step.id);
      else resize(step.id, step.wish, tally);
      if (index % Math.ceil(length / samplesPerPart) === 0) tally.samples.push(sample(ledger));
    }
    tally.living = new Map([...living].map(([id, { holding }]) => [id, holding.wish]));
    return tally;
  });

  return {
    figures: figuresOf(tallies.slice(1)),
    untilRefusal: untilRefusal ?? instances,
    faults: ledger.faults,
    seconds: milliseconds / 1000,
    living: tallies.map((tally) => tally.living),
  };
}

interface Tally {
  asked: number;
  placed: number;
  askedCores: number;
  placedCores: number;
  resizes: number;
  resized: number;
  readonly samples: Sample[];
  living: ReadonlyMap<number, Wish>;
}

interface Sample {
  readonly stranded: { readonly best: number; readonly mean: number };
  readonly insideNuma: number | undefined;
}

function newTally(): Tally {
  return { asked: 0, placed: 0, askedCores: 0, placedCores: 0, resizes: 0, resized: 0, samples: [], living: new Map() };
}

function sample(ledger: Ledger): Sample {
  return { stranded: ledger.stranded(), insideNuma: ledger.insideNuma() };
}

function figuresOf(tallies: readonly Tally[]): Figures {
  const sampled = (of: (sample: Sample) => number | undefined): number[] =>
    tallies.flatMap(({ samples }) => {
      const values = samples.map(of).filter((value) => value !== undefined);
      return values.length === 0 ? [] : [mean(values)];
    });
  return {
    placed: tallies.map(({ placed, asked }) => placed / asked),
    placedCores: tallies.map(({ placedCores, askedCores }) => placedCores / askedCores),
    resized: tallies.map(({ resized, resizes }) => resized / resizes),
    strandedBest: sampled(({ stranded }) => stranded.best),
    strandedMean: sampled(({ stranded }) => stranded.mean),
    insideNuma: sampled(({ insideNuma }) => insideNuma),
  };
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
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
