import type { Labels } from '../model.ts';

/** The values of one node label, as small integers. */
export interface Topology {
  readonly name: string;
  /** The domain of a slot, -1 = the node has no such label. */
  domain(slot: number): number;
}

/** A topology that follows the labels of nodes. */
export class LabelTopology implements Topology {
  readonly name: string;
  /** Every node is in it. */
  complete = false;
  readonly #domains: number[] = [];
  readonly #values = new Map<string, number>();

  constructor(name: string) {
    this.name = name;
  }

  domain(slot: number): number {
    return this.#domains[slot] ?? -1;
  }

  set(slot: number, labels: Labels | undefined): void {
    const value = labels?.[this.name];
    if (value !== undefined && !this.#values.has(value)) this.#values.set(value, this.#values.size);
    this.#domains[slot] = value === undefined ? -1 : (this.#values.get(value) as number);
  }
}
