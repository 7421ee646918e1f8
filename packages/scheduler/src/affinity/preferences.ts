import type { Company } from './company.ts';
import type { Effect } from './constraints.ts';
import type { Levels } from './levels.ts';
import type { Topology } from './topology.ts';

/** What is liked in a domain (-1: the node is in none), in points; the sum decides, before the strategy does. */
export interface Preference {
  readonly topology: Topology;
  points(domain: number): number;
  place(domain: number, count: number): Effect;
}

/** Preferred affinity (a weight above 0) and anti-affinity (below): all of it for the first workload that is meant. */
export class Liking implements Preference {
  readonly topology: Topology;
  readonly #others: Company;
  readonly #weight: number;

  constructor(others: Company, weight: number) {
    this.topology = others.topology;
    this.#others = others;
    this.#weight = weight;
  }

  points(domain: number): number {
    return this.#others.isIn(domain) ? this.#weight : 0;
  }

  place(domain: number): Effect {
    return this.#others.join(domain) ? 'mine' : 'none';
  }
}

/** Preferred spread: a domain loses its weight for every instance by which one more would exceed the skew. */
export class Evenness implements Preference {
  readonly topology: Topology;
  readonly #levels: Levels;
  readonly #maxSkew: number;
  readonly #weight: number;

  constructor(topology: Topology, levels: Levels, maxSkew: number, weight: number) {
    this.topology = topology;
    this.#levels = levels;
    this.#maxSkew = maxSkew;
    this.#weight = weight;
  }

  /** A node in no domain is as bad as the worst: what is there cannot be evened out. */
  points(domain: number): number {
    const excess = (count: number): number => Math.max(0, count + 1 - this.#levels.lowest - this.#maxSkew);
    return -this.#weight * (domain < 0 ? excess(this.#levels.highest) + 1 : excess(this.#levels.of(domain)));
  }

  place(domain: number, count: number): Effect {
    if (domain < 0) return 'none';
    const { lowest, highest } = this.#levels;
    this.#levels.add(domain, count);
    return this.#levels.lowest !== lowest || this.#levels.highest !== highest ? 'all' : 'mine';
  }
}
