import { EruError } from '@eru/kit';
import { Classes } from './classes.ts';
import type { Demand } from './demand.ts';
import { Field } from './field.ts';
import type { Census, ResourceKind } from './kind.ts';
import type { PlannedNode } from './model.ts';

/** Fields that are remembered, the least recently used go first: at 50,000 candidates each is 2.8 MB. */
const fieldsKept = 16;
const selectionsKept = 8;

/** Candidates in name order, each once. */
export interface Selection {
  readonly id: number;
  readonly slots: Int32Array;
  /** Position by slot; -1 = not selected. */
  readonly positions: Int32Array;
}

/**
 * The nodes that plans are made on. Its owner keeps it fresh with `set` and `delete`; a node's state is compiled once per
 * change and answers to requests are remembered, so that the cost of a plan follows what changed.
 */
export class Fleet {
  readonly kinds: readonly ResourceKind[];
  /** By slot; a slot is reused after its node is gone. */
  readonly nodes: (PlannedNode | undefined)[] = [];
  /** By kind. */
  readonly classes: readonly Classes[];
  /** By kind; only of those that look at other nodes. */
  readonly censuses: readonly (Census<unknown> | undefined)[];
  /** By slot; see `Surveyed`. */
  versions = new Float64Array(64);
  readonly #slots = new Map<string, number>();
  readonly #free: number[] = [];
  /** Slots in the order of their nodes' names, in which every answer is given. */
  readonly #order: number[] = [];
  // All of these are valid until a node comes or goes.
  #known = new WeakMap<readonly string[], Selection>();
  #recent: Selection[] = [];
  readonly #fields = new Map<string, Field>();
  #selectionsMade = 0;
  #version = 0;

  constructor(scheduler: { readonly kinds: readonly ResourceKind[] }) {
    this.kinds = scheduler.kinds;
    this.classes = this.kinds.map((kind) => new Classes(kind));
    this.censuses = this.kinds.map((kind) => kind.census?.());
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
    for (const classes of this.classes) classes.set(slot, node);
    for (const census of this.censuses) census?.set(slot, node);
  }

  delete(name: string): void {
    const slot = this.#slots.get(name);
    if (slot === undefined) return;
    this.#order.splice(this.#place(name), 1);
    this.#slots.delete(name);
    this.#free.push(slot);
    this.nodes[slot] = undefined;
    for (const classes of this.classes) classes.delete(slot);
    for (const census of this.censuses) census?.set(slot, undefined);
    this.#forget();
  }

  /** The candidates, without doubles. @throws EruError `not_found` */
  select(candidates: readonly string[]): Selection {
    const selection = this.#known.get(candidates) ?? this.#find(candidates);
    this.#known.set(candidates, selection);
    return selection;
  }

  /** The field of these candidates for this demand, at the start of a plan. */
  field(selection: Selection, demand: Demand, counts: ReadonlyMap<string, number>): Field {
    const field = this.#recall(selection, demand);
    field.begin(counts, (node) => {
      const slot = this.#slots.get(node);
      return slot === undefined ? -1 : (selection.positions[slot] as number);
    });
    return field;
  }

  /** Also another array of the same names finds its selection again, at the cost of reading it. */
  #find(candidates: readonly string[]): Selection {
    const positions = new Int32Array(this.nodes.length).fill(-1);
    for (const name of candidates) {
      const slot = this.#slots.get(name);
      if (slot === undefined)
        throw new EruError('not_found', `node ${name} is not in the fleet`, { details: { node: name } });
      positions[slot] = 0;
    }
    const slots = Int32Array.from(this.#order.filter((slot) => positions[slot] === 0));
    for (const [position, slot] of slots.entries()) positions[slot] = position;
    const known = this.#recent.find((selection) => equal(selection.slots, slots));
    if (known === undefined) this.#selectionsMade += 1;
    const selection = known ?? { id: this.#selectionsMade, slots, positions };
    this.#recent = [selection, ...this.#recent.filter((other) => other !== selection)].slice(0, selectionsKept);
    return selection;
  }

  #recall({ id, slots }: Selection, { key, requests }: Demand): Field {
    if (key === undefined) return new Field(this, slots, requests);
    const name = `${id} ${key}`;
    const field =
      this.#fields.get(name) ?? this.#recycled(slots)?.retarget(requests) ?? new Field(this, slots, requests);
    this.#fields.delete(name);
    this.#fields.set(name, field);
    return field;
  }

  /** The field that was not used for longest, once there are enough; of use again only for the same candidates. */
  #recycled(slots: Int32Array): Field | undefined {
    const [oldest] = this.#fields;
    if (this.#fields.size < fieldsKept || oldest === undefined) return undefined;
    const [name, field] = oldest;
    this.#fields.delete(name);
    return field.slots === slots ? field : undefined;
  }

  #forget(): void {
    this.#known = new WeakMap();
    this.#recent = [];
    this.#fields.clear();
  }

  #admit(name: string): number {
    const slot = this.#free.pop() ?? this.nodes.length;
    this.#order.splice(this.#place(name), 0, slot);
    this.#slots.set(name, slot);
    this.#forget();
    if (slot >= this.versions.length) {
      const longer = new Float64Array(2 * slot);
      longer.set(this.versions);
      this.versions = longer;
    }
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

function equal(left: Int32Array, right: Int32Array): boolean {
  return left.length === right.length && left.every((value, index) => value === right[index]);
}
