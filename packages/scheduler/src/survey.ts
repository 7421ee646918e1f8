import type { Measure, ResourceKind } from './kind.ts';
import { unlimited } from './model.ts';

/** The states of a fleet, as a survey reads them. Slots are small integers that a node keeps while it is in the fleet. */
export interface Surveyed {
  readonly kinds: readonly ResourceKind[];
  /** By kind, then by slot. */
  readonly states: readonly (readonly unknown[])[];
  /** By slot: grows with every change of the node, never 0. */
  readonly versions: readonly number[];
}

/**
 * The answers of all nodes to one request, combined over kinds and remembered with the version of the node they were
 * given for: to ask again costs a comparison for each node, and work only for those that changed.
 */
export class Survey {
  readonly #fleet: Surveyed;
  readonly #requests: readonly unknown[];
  readonly #measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  #versions = new Float64Array(0);
  count = new Float64Array(0);
  usage = new Float64Array(0);
  rate = new Float64Array(0);

  constructor(fleet: Surveyed, requests: readonly unknown[]) {
    this.#fleet = fleet;
    this.#requests = requests;
  }

  /** Brings the answers for these slots up to date. */
  refresh(slots: Int32Array): void {
    this.#grow(this.#fleet.versions.length);
    const { versions } = this.#fleet;
    for (let position = 0; position < slots.length; position += 1) {
      const slot = slots[position] as number;
      const version = versions[slot] as number;
      if (this.#versions[slot] === version) continue;
      this.#ask(slot);
      this.#versions[slot] = version;
    }
  }

  /** Capacity is the minimum over kinds; usage and rate are the mean, each kind by its weight (section 1.4). */
  #ask(slot: number): void {
    const measure = this.#measure;
    let [count, usage, rate, weight] = [unlimited, 0, 0, 0];
    for (let kind = 0; kind < this.#requests.length; kind += 1) {
      this.#fleet.kinds[kind]?.measure(this.#fleet.states[kind]?.[slot], this.#requests[kind], measure);
      count = Math.min(count, measure.count);
      usage += measure.weight * measure.usage;
      rate += measure.weight * measure.rate;
      weight += measure.weight;
    }
    this.count[slot] = count;
    this.usage[slot] = weight > 0 ? usage / weight : 0;
    this.rate[slot] = weight > 0 ? rate / weight : 0;
  }

  #grow(size: number): void {
    if (size <= this.#versions.length) return;
    this.#versions = grown(this.#versions, size);
    this.count = grown(this.count, size);
    this.usage = grown(this.usage, size);
    this.rate = grown(this.rate, size);
  }
}

/** At least twice as long as before, so that a fleet that grows node by node copies little. */
export function grown(array: Float64Array, size: number): Float64Array<ArrayBuffer> {
  const larger = new Float64Array(Math.max(size, array.length * 2));
  larger.set(array);
  return larger;
}
