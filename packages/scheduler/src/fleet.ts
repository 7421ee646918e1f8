import { EruError } from '@eru/kit';
import type { Demand } from './demand.ts';
import { Field } from './field.ts';
import type { ResourceKind } from './kind.ts';
import type { PlannedNode } from './model.ts';
import { grown, Survey } from './survey.ts';

/** Requests whose answers are kept: 50,000 nodes are 1.6 MB each. */
const surveysKept = 16;

/**
 * The nodes that plans are made on. Its owner keeps it fresh with `set` and `delete`; a node's state is compiled once per
 * change, answers to requests are remembered, so that the cost of a plan follows what changed. Not for use by two plans at
 * once, which cannot happen as planning is synchronous.
 */
export class Fleet {
  readonly kinds: readonly ResourceKind[];
  /** By slot; a slot is reused after its node is gone. */
  readonly nodes: (PlannedNode | undefined)[] = [];
  /** By kind, then by slot. */
  readonly states: unknown[][];
  /** By slot. */
  readonly versions: number[] = [];
  /** Scratch space of the plan that is being made. */
  readonly field = new Field();
  readonly #slots = new Map<string, number>();
  readonly #free: number[] = [];
  /** Slots in the order of their nodes' names, in which every answer is given. */
  readonly #order: number[] = [];
  readonly #surveys = new Map<string, Survey>();
  #selections = new WeakMap<readonly string[], Int32Array>();
  #version = 0;
  #counts = new Float64Array(0);
  /** Slots whose count is not 0. */
  readonly #counted: number[] = [];

  constructor(scheduler: { readonly kinds: readonly ResourceKind[] }) {
    this.kinds = scheduler.kinds;
    this.states = this.kinds.map(() => []);
  }

  get size(): number {
    return this.#slots.size;
  }

  get(name: string): PlannedNode | undefined {
    const slot = this.#slots.get(name);
    return slot === undefined ? undefined : this.nodes[slot];
  }

  /** Adds a node, or replaces what is known of it. */
  set(node: PlannedNode): void {
    const slot = this.#slots.get(node.name) ?? this.#admit(node.name);
    this.#version += 1;
    this.nodes[slot] = node;
    this.versions[slot] = this.#version;
    for (const [index, kind] of this.kinds.entries()) {
      const states = this.states[index] as unknown[];
      states[slot] = kind.state(node);
    }
  }

  delete(name: string): void {
    const slot = this.#slots.get(name);
    if (slot === undefined) return;
    this.#order.splice(this.#place(name), 1);
    this.#slots.delete(name);
    this.#free.push(slot);
    this.nodes[slot] = undefined;
    for (const states of this.states) states[slot] = undefined;
    this.#selections = new WeakMap();
  }

  /** The candidates' slots, each once, in name order. @throws EruError `not_found` */
  select(candidates: readonly string[]): Int32Array {
    const known = this.#selections.get(candidates);
    if (known !== undefined) return known;
    const chosen = new Uint8Array(this.nodes.length);
    for (const name of candidates) {
      const slot = this.#slots.get(name);
      if (slot === undefined)
        throw new EruError('not_found', `node ${name} is not in the fleet`, { details: { node: name } });
      chosen[slot] = 1;
    }
    const selection = Int32Array.from(this.#order.filter((slot) => chosen[slot] === 1));
    this.#selections.set(candidates, selection);
    return selection;
  }

  /** Counts by slot, in an array that the next call reuses; names that the fleet lacks are left out. */
  countsBySlot(counts: ReadonlyMap<string, number>): Float64Array {
    if (this.#counts.length < this.nodes.length) this.#counts = grown(this.#counts, this.nodes.length);
    for (const slot of this.#counted.splice(0)) this.#counts[slot] = 0;
    for (const [name, count] of counts) {
      const slot = this.#slots.get(name);
      if (slot === undefined) continue;
      this.#counts[slot] = count;
      this.#counted.push(slot);
    }
    return this.#counts;
  }

  /** The remembered answers to this demand, the least recently used forgotten. */
  survey(demand: Demand): Survey {
    const { key } = demand;
    if (key === undefined) return new Survey(this, demand.requests);
    const survey = this.#surveys.get(key) ?? new Survey(this, demand.requests);
    this.#surveys.delete(key);
    this.#surveys.set(key, survey);
    const [oldest] = this.#surveys.keys();
    if (this.#surveys.size > surveysKept && oldest !== undefined) this.#surveys.delete(oldest);
    return survey;
  }

  #admit(name: string): number {
    const slot = this.#free.pop() ?? this.nodes.length;
    this.#order.splice(this.#place(name), 0, slot);
    this.#slots.set(name, slot);
    this.#selections = new WeakMap();
    return slot;
  }

  /** Where this name is, or belongs, in the order. */
  #place(name: string): number {
    let [low, high] = [0, this.#order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.nodes[this.#order[middle] as number] as PlannedNode).name < name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
