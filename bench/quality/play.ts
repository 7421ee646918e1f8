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
  const life = new Life(shape, make);
  const length = Math.ceil(steps.length / parts);
  const living: ReadonlyMap<number, Wish>[] = [];
  const tallies = Array.from({ length: parts }, (_, part) => {
    const tally = newTally();
    for (const [index, step] of steps.slice(part * length, (part + 1) * length).entries()) {
      life.take(step, tally);
      if (index % Math.ceil(length / samplesPerPart) === 0) tally.samples.push(sample(life.ledger));
    }
    living.push(life.living());
    return tally;
  });
  return {
    figures: figuresOf(tallies.slice(1)),
    faults: life.ledger.faults,
    seconds: life.milliseconds / 1000,
    living,
  };
}

/** Instances placed on an empty fleet before the first deploy is refused. */
export function placedBeforeRefusal(shape: Shape, steps: readonly Step[], make: SubjectMaker): number {
  const life = new Life(shape, make);
  const tally = newTally();
  for (const step of steps) {
    life.take(step, tally);
    if (tally.placed < tally.asked) break;
  }
  return tally.placed;
}

/** A fleet under one planner, with the judge beside it. */
class Life {
  readonly ledger: Ledger;
  /** That the planner took to plan and book. */
  milliseconds = 0;
  readonly #names: readonly string[];
  readonly #subject: Subject;
  readonly #instances = new Map<number, { holding: Holding; readonly app: number }>();

  constructor(shape: Shape, make: SubjectMaker) {
    this.ledger = new Ledger(shape);
    this.#names = nodeNames(shape.machines);
    this.#subject = make(shape.machine, this.#names, shape.maxShare);
  }

  living(): ReadonlyMap<number, Wish> {
    return new Map([...this.#instances].map(([id, { holding }]) => [id, holding.wish]));
  }

  take(step: Step, tally: Tally): void {
    if (step.type === 'create') this.#create(step, tally);
    else if (step.type === 'remove') this.#remove(step.id);
    else this.#resize(step.id, step.wish, tally);
  }

  #create({ ids, app, strategy, wish }: Step & { type: 'create' }, tally: Tally): void {
    const count = ids.length;
    tally.asked += count;
    tally.askedCores += count * wish.cpu;
    const placement = { wish, count, strategy, app, candidates: this.#names };
    const holdings = this.#timed(() => this.#subject.place(placement));
    if (holdings === undefined) return;
    tally.placed += count;
    tally.placedCores += count * wish.cpu;
    // In node order, whichever way the planner lists them: who is removed later must not depend on that.
    const ordered = holdings.toSorted((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
    for (const [position, holding] of ordered.entries()) {
      this.ledger.add(holding);
      this.#instances.set(ids[position] as number, { holding, app });
    }
  }

  #remove(id: number): void {
    const instance = this.#instances.get(id);
    if (instance === undefined) return;
    this.#timed(() => this.#subject.release(instance.holding, instance.app));
    this.ledger.remove(instance.holding);
    this.#instances.delete(id);
  }

  #resize(id: number, wish: Wish, tally: Tally): void {
    const instance = this.#instances.get(id);
    if (instance === undefined) return;
    tally.resizes += 1;
    const holding = this.#timed(() => this.#subject.resize(instance.holding, wish));
    if (holding === undefined) return;
    tally.resized += 1;
    this.ledger.remove(instance.holding);
    this.ledger.add(holding);
    instance.holding = holding;
  }

  #timed<T>(act: () => T): T {
    const begun = performance.now();
    const result = act();
    this.milliseconds += performance.now() - begun;
    return result;
  }
}

interface Tally {
  asked: number;
  placed: number;
  askedCores: number;
  placedCores: number;
  resizes: number;
  resized: number;
  readonly samples: Sample[];
}

interface Sample {
  readonly stranded: { readonly best: number; readonly mean: number };
  readonly insideNuma: number | undefined;
}

function newTally(): Tally {
  return { asked: 0, placed: 0, askedCores: 0, placedCores: 0, resizes: 0, resized: 0, samples: [] };
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
