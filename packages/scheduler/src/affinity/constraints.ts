import type { Lack } from '../kind.ts';
import { unlimited } from '../model.ts';
import type { Company } from './company.ts';
import type { Levels } from './levels.ts';
import type { Topology } from './topology.ts';

/** Which domains may be another matter after a placement: `mine` is the one that was placed on. */
export type Effect = 'none' | 'mine' | 'all';

/** What must hold of a domain (-1: the node is in none). */
export interface Constraint {
  readonly topology: Topology;
  /** How many more may be placed in the domain, one after the other. */
  room(domain: number): number;
  lack(domain: number): Lack;
  place(domain: number, count: number): Effect;
}

function lack(reason: string): Lack {
  return { reason, needed: 1, free: 0, unit: 'none' };
}

/** "In its zone", "on the node". */
function where({ name }: Topology): string {
  return name === 'node' ? 'on the node' : `in its ${name}`;
}

/** Required anti-affinity. A node without the label is in no domain, and away from everybody. */
export class Apart implements Constraint {
  readonly topology: Topology;
  readonly #others: Company;

  constructor(others: Company) {
    this.topology = others.topology;
    this.#others = others;
  }

  room(domain: number): number {
    if (domain < 0) return unlimited;
    if (this.#others.isIn(domain)) return 0;
    return this.#others.self ? 1 : unlimited;
  }

  lack(): Lack {
    return lack(`a workload with ${this.#others.whom} is ${where(this.topology)}`);
  }

  place(domain: number): Effect {
    return this.#others.join(domain) ? 'mine' : 'none';
  }
}

/** Required affinity. The first of those that want to be with their like may go anywhere. */
export class Together implements Constraint {
  readonly topology: Topology;
  readonly #others: Company;

  constructor(others: Company) {
    this.topology = others.topology;
    this.#others = others;
  }

  room(domain: number): number {
    if (domain < 0) return 0;
    return this.#others.isIn(domain) || (this.#others.self && this.#others.isNowhere) ? unlimited : 0;
  }

  lack(domain: number): Lack {
    return lack(
      domain < 0
        ? `no node label ${this.topology.name}`
        : `no workload with ${this.#others.whom} is ${where(this.topology)}`,
    );
  }

  place(domain: number): Effect {
    const first = this.#others.isNowhere;
    return this.#others.join(domain) && first ? 'all' : 'none';
  }
}

/** Required spread: no domain of the candidates may be more than `maxSkew` ahead of the least one. */
export class Spread implements Constraint {
  readonly topology: Topology;
  readonly #levels: Levels;
  readonly #maxSkew: number;

  constructor(topology: Topology, levels: Levels, maxSkew: number) {
    this.topology = topology;
    this.#levels = levels;
    this.#maxSkew = maxSkew;
  }

  room(domain: number): number {
    if (domain < 0) return 0;
    return Math.max(0, this.#levels.lowestBeside(domain) + this.#maxSkew - this.#levels.of(domain));
  }

  lack(domain: number): Lack {
    if (domain < 0) return lack(`no node label ${this.topology.name}`);
    return {
      reason: `places under a skew of ${this.#maxSkew} over ${this.topology.name}`,
      needed: 1,
      free: this.room(domain),
      unit: 'number',
    };
  }

  place(domain: number, count: number): Effect {
    if (domain < 0) return 'none';
    const { lowest, lone } = this.#levels;
    this.#levels.add(domain, count);
    // The least domain sees the others' lowest, so that it matters, too, whether it is the only one.
    return this.#levels.lowest !== lowest || this.#levels.lone !== lone ? 'all' : 'mine';
  }
}

/** Somebody who is there already does not bear the workload: in these domains there is no room for it. */
export class KeptOut implements Constraint {
  readonly topology: Topology;
  readonly #closed: ReadonlySet<number>;

  constructor(topology: Topology, closed: ReadonlySet<number>) {
    this.topology = topology;
    this.#closed = closed;
  }

  room(domain: number): number {
    return this.#closed.has(domain) ? 0 : unlimited;
  }

  lack(): Lack {
    return lack(`a workload ${where(this.topology)} keeps this one away`);
  }

  place(): Effect {
    return 'none';
  }
}

/** The workload wants its node for itself, or for its like. */
export class Exclusively implements Constraint {
  readonly topology: Topology;
  readonly #occupied: (slot: number) => boolean;
  readonly #alone: boolean;
  readonly #placed = new Set<number>();
  /** What it was told of a node, which may change: it says the same of it for ever. */
  readonly #known = new Map<number, boolean>();

  /** `occupied`: whether somebody is on the node whom it does not bear. */
  constructor(topology: Topology, occupied: (slot: number) => boolean, alone: boolean) {
    this.topology = topology;
    this.#occupied = occupied;
    this.#alone = alone;
  }

  room(slot: number): number {
    let occupied = this.#known.get(slot);
    if (occupied === undefined) this.#known.set(slot, (occupied = this.#occupied(slot)));
    if (occupied || this.#placed.has(slot)) return 0;
    return this.#alone ? 1 : unlimited;
  }

  lack(): Lack {
    return lack('other workloads are on the node, which is wanted exclusively');
  }

  place(slot: number): Effect {
    if (!this.#alone) return 'none';
    this.#placed.add(slot);
    return 'mine';
  }
}
