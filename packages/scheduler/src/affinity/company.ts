import type { Topology } from './topology.ts';

/** In which domains the workloads are that a term means, those of the plan included. */
export class Company {
  readonly topology: Topology;
  /** For people. */
  readonly whom: string;
  /** The workload to be placed is one of those that are meant. */
  readonly self: boolean;
  readonly #domains: Set<number>;

  constructor(topology: Topology, whom: string, self: boolean, domains: Iterable<number>) {
    this.topology = topology;
    this.whom = whom;
    this.self = self;
    this.#domains = new Set(domains);
  }

  get isNowhere(): boolean {
    return this.#domains.size === 0;
  }

  isIn(domain: number): boolean {
    return this.#domains.has(domain);
  }

  /** Another of the workload is placed; true when that is the first one meant that is in the domain. */
  join(domain: number): boolean {
    if (!this.self || domain < 0 || this.#domains.has(domain)) return false;
    this.#domains.add(domain);
    return true;
  }
}
