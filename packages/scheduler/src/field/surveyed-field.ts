import type { Answers } from '../fleet/answers.ts';
import type { ChangeLog } from '../fleet/change-log.ts';
import { Counts } from '../fleet/counts.ts';
import type { Measure } from '../kind.ts';
import { round9 } from '../lenient.ts';
import { unlimited } from '../model.ts';
import { atOnce, countInSteps, type Steps } from '../steps.ts';
import type { Contest, Order, StillField } from './field.ts';
import { Procession } from './procession.ts';
import { Ranking } from './ranking.ts';

type Changes = Pick<ChangeLog, 'version' | 'since'>;

/** Where the candidates are: slot by position, which are in name order, and position by slot, -1 = none. */
export interface Places {
  readonly slots: Int32Array;
  readonly positions: Int32Array;
}

/** Nodes that are looked at, and new questions to a kind, between two steps. */
const looksPerStep = 4096;
const questionsPerStep = 16;

/**
 * The answers of the kinds to one request, combined, and remembered from plan to plan with the orders in which strategies
 * look at them: the cost of the next plan follows what changed in between. A plan leaves no trace: what it took is given
 * back by `end`.
 */
export class SurveyedField implements StillField {
  readonly size: number;
  readonly capacity: Float64Array;
  readonly count: Float64Array;
  readonly usage: Float64Array;
  readonly rate: Float64Array;
  readonly ties: Int32Array;
  readonly followed = false;
  open = 0;
  /** By kind. */
  readonly answers: readonly Answers[];

  readonly #changes: Changes;
  /** Used again for every node: nothing is allocated per node. */
  readonly #combined: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  readonly #places: Places;
  /** Also those that are not complete yet. */
  readonly #rankings = new Map<Order, Ranking>();
  readonly #complete = new WeakSet<Ranking>();
  /** The version of the fleet that the figures are of; -1 = none yet. */
  #version = -1;
  // The total in parts, because it is kept up to date by differences; those are exact up to 2^53.
  #unlimited = 0;
  #finite = 0;
  #exact = true;
  /** The counts of the last plan, and the positions that have one. */
  #counts: ReadonlyMap<string, number> | undefined;
  #countsVersion = 0;
  #counted = new Set<number>();
  /** What the plan has taken, and what it found: position, capacity, count, usage, and so on. */
  readonly #taken: number[] = [];

  constructor(changes: Changes, places: Places, answers: readonly Answers[], ties: Int32Array) {
    this.#changes = changes;
    this.#places = places;
    this.answers = answers;
    this.size = places.slots.length;
    this.capacity = new Float64Array(this.size);
    this.count = new Float64Array(this.size);
    this.usage = new Float64Array(this.size);
    this.rate = new Float64Array(this.size);
    this.ties = ties;
  }

  get total(): number {
    if (this.#unlimited > 0) return unlimited;
    if (!this.#exact) {
      this.#finite = this.capacity.reduce((sum, capacity) => sum + capacity, 0);
      this.#exact = Number.isSafeInteger(this.#finite);
    }
    return this.#finite;
  }

  /** As `refresh`; and makes this order, so that a strategy need not do it at once. */
  *prepare(order: Order): Steps<void> {
    do {
      yield* this.refresh();
      yield* this.#rank(order);
    } while (this.#version !== this.#changes.version);
  }

  /** Brings the figures up to the fleet as it is when this returns; it may change between the steps. */
  *refresh(): Steps<void> {
    while (this.#version !== this.#changes.version) {
      const { version } = this.#changes;
      const changed = this.#version < 0 ? undefined : this.#changes.since(this.#version);
      if (changed === undefined) yield* this.#lookAtAll();
      else yield* this.#lookAt(changed);
      this.#version = Math.max(this.#version, version);
    }
  }

  /** A new plan. `counts` says what runs already; a node without a position is no candidate. */
  begin(counts: ReadonlyMap<string, number>, positionOf: (node: string) => number): void {
    const known = counts instanceof Counts && counts === this.#counts ? counts.since(this.#countsVersion) : undefined;
    if (known === undefined) this.#readCounts(counts, positionOf);
    for (const node of known ?? []) {
      const position = positionOf(node);
      if (position < 0) continue;
      this.#setCount(position, counts.get(node) ?? 0);
      this.#counted.add(position);
    }
    this.#counts = counts;
    this.#countsVersion = counts instanceof Counts ? counts.version : 0;
  }

  /** Gives back what the plan has taken. */
  end(): void {
    const taken = this.#taken;
    // Backwards, since a node may have been taken from more than once.
    for (let index = taken.length - 4; index >= 0; index -= 4) {
      const position = taken[index] as number;
      this.capacity[position] = taken[index + 1] as number;
      this.count[position] = taken[index + 2] as number;
      this.usage[position] = taken[index + 3] as number;
    }
    taken.length = 0;
  }

  room(position: number): number {
    return this.capacity[position] as number;
  }

  preference(): number {
    return 0;
  }

  preferenceWhenTaken(): number {
    return 0;
  }

  /** The rankings stay as they were: a strategy comes back to a node that it took by an order of its own, or never. */
  take(position: number, count: number): Iterable<undefined> {
    const [capacity, counts] = [this.capacity[position] as number, this.count[position] as number];
    const usage = this.usage[position] as number;
    this.#taken.push(position, capacity, counts, usage);
    this.capacity[position] = capacity - count;
    this.count[position] = counts + count;
    this.usage[position] = round9(usage + count * (this.rate[position] as number));
    return [];
  }

  firsts(order: Order, limit: number): number[] {
    // To put a large part of them into order costs more than to look at all.
    if (8 * limit >= this.open) return this.#openPositions();
    return [...this.#ranking(order).inOrder(limit)];
  }

  contest(order: Order, least: number, eligible: (position: number) => boolean = () => true): Contest {
    return new Procession(
      this.#ranking(order).inOrder(),
      (position) => this.room(position) >= least && eligible(position),
    );
  }

  *#lookAtAll(): Steps<void> {
    this.#rankings.clear();
    for (let from = 0; from < this.size; from += questionsPerStep) {
      const until = Math.min(this.size, from + questionsPerStep);
      const before = this.#questions();
      for (let position = from; position < until; position += 1) this.#look(position);
      if (this.#questions() !== before || from % looksPerStep === 0) yield;
    }
  }

  *#lookAt(slots: readonly number[]): Steps<void> {
    // Mending an order costs more than making it when much has changed.
    if (slots.length > this.size / 8) this.#rankings.clear();
    for (const [index, slot] of slots.entries()) {
      const position = this.#places.positions[slot] ?? -1;
      if (position >= 0) this.#look(position);
      if (index % questionsPerStep === questionsPerStep - 1) yield;
    }
  }

  #questions(): number {
    return this.answers.reduce((sum, { asked }) => sum + asked, 0);
  }

  #look(position: number): void {
    this.#tally(position, -1);
    const { count, usage, rate } = this.#combine(position);
    this.capacity[position] = count;
    this.usage[position] = usage;
    this.rate[position] = rate;
    this.#tally(position, 1);
    for (const ranking of this.#rankings.values()) {
      if (count >= 1) ranking.put(position);
      else ranking.remove(position);
    }
  }

  /** Capacity is the minimum over kinds; usage and rate are the mean, each kind by its weight (section 1.4). */
  #combine(position: number): Measure {
    const slot = this.#places.slots[position] as number;
    const combined = this.#combined;
    let [count, usage, rate, weights] = [unlimited, 0, 0, 0];
    for (const answers of this.answers) {
      const its = answers.about(slot);
      const weight = answers.weights[its] as number;
      count = Math.min(count, answers.counts[its] as number);
      usage += weight * (answers.usages[its] as number);
      rate += weight * (answers.rates[its] as number);
      weights += weight;
    }
    combined.count = count;
    // Rounded, so that nodes that are equally used are equal, whatever the kinds between which the mean is taken.
    combined.usage = weights > 0 ? round9(usage / weights) : 0;
    combined.rate = weights > 0 ? round9(rate / weights) : 0;
    return combined;
  }

  #tally(position: number, sign: 1 | -1): void {
    const capacity = this.capacity[position] as number;
    if (capacity < 1) return;
    this.open += sign;
    if (capacity === unlimited) this.#unlimited += sign;
    else this.#finite += sign * capacity;
    if (!Number.isSafeInteger(this.#finite)) this.#exact = false;
  }

  #readCounts(counts: ReadonlyMap<string, number>, positionOf: (node: string) => number): void {
    const before = this.#counted;
    this.#counted = new Set();
    for (const [node, count] of counts) {
      const position = positionOf(node);
      if (position < 0) continue;
      this.#setCount(position, count);
      this.#counted.add(position);
    }
    for (const position of before) if (!this.#counted.has(position)) this.#setCount(position, 0);
  }

  #setCount(position: number, count: number): void {
    if (this.count[position] === count) return;
    this.count[position] = count;
    if ((this.capacity[position] as number) < 1) return;
    for (const ranking of this.#rankings.values()) ranking.put(position);
  }

  #ranking(order: Order): Ranking {
    atOnce(this.#rank(order));
    return this.#rankings.get(order) as Ranking;
  }

  /**
   * Put in one by one, it is a ranking at each step, so that nodes may change in between, and another plan may go through it
   * at the same time. When too many nodes change it is dropped, and begun again.
   */
  *#rank(order: Order): Steps<void> {
    for (;;) {
      const ranking = this.#rankings.get(order) ?? new Ranking(order(this), new Int32Array(this.size).fill(-1));
      if (this.#complete.has(ranking)) return;
      this.#rankings.set(order, ranking);
      yield* countInSteps(this.size, (position) => {
        if ((this.capacity[position] as number) >= 1) ranking.put(position);
      });
      this.#complete.add(ranking);
    }
  }

  #openPositions(): number[] {
    const positions: number[] = [];
    for (let position = 0; position < this.size; position += 1) {
      if ((this.capacity[position] as number) >= 1) positions.push(position);
    }
    return positions;
  }
}
