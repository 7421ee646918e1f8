import { unlimited } from '../model.ts';

/** Domain -> workloads in it. */
export type Counts = Map<number, number>;

/** How many workloads are in each of some domains, and the lowest of these numbers at any time; they only grow. */
export class Levels {
  readonly #counts: Counts;
  /** Number -> domains that have so many. */
  readonly #domains = new Map<number, number>();
  #lowest = unlimited;

  /** `domains`: all that count, with none where `counts` does not know them. */
  constructor(domains: Iterable<number>, counts: Counts) {
    this.#counts = new Map();
    for (const domain of new Set(domains)) {
      const count = counts.get(domain) ?? 0;
      this.#counts.set(domain, count);
      this.#domains.set(count, (this.#domains.get(count) ?? 0) + 1);
    }
    this.#lowest = this.#least(() => true);
  }

  get lowest(): number {
    return this.#lowest;
  }

  get highest(): number {
    return Math.max(0, ...this.#domains.keys());
  }

  /** Whether one domain alone is the lowest. */
  get lone(): boolean {
    return this.#domains.get(this.#lowest) === 1;
  }

  of(domain: number): number {
    return this.#counts.get(domain) ?? 0;
  }

  /** The lowest of the others; `unlimited` when there are none. */
  lowestBeside(domain: number): number {
    if (!this.lone || this.of(domain) !== this.#lowest) return this.#lowest;
    return this.#least((count) => count !== this.#lowest);
  }

  add(domain: number, count: number): void {
    const before = this.#counts.get(domain);
    if (before === undefined) return;
    const now = before + count;
    this.#counts.set(domain, now);
    this.#domains.set(now, (this.#domains.get(now) ?? 0) + 1);
    const left = (this.#domains.get(before) as number) - 1;
    if (left > 0) this.#domains.set(before, left);
    else this.#domains.delete(before);
    this.#lowest = this.#least(() => true);
  }

  /** Numbers that differ are few, however many domains there are. */
  #least(among: (count: number) => boolean): number {
    let least = unlimited;
    for (const count of this.#domains.keys()) if (count < least && among(count)) least = count;
    return least;
  }
}
