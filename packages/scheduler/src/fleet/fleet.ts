import { EruError } from '@eru/kit';
import type { Demand } from '../demand.ts';
import { SurveyedField } from '../field/surveyed-field.ts';
import type { Candidates, Census, ResourceKind } from '../kind.ts';
import type { PlannedNode } from '../model.ts';
import { Recent } from '../recent.ts';
import { eachInSteps, type Steps } from '../steps.ts';
import { Answers } from './answers.ts';
import { ChangeLog } from './change-log.ts';
import { Classes } from './classes.ts';
import { tiesOf } from './ties.ts';

// What is kept at 50,000 nodes: a field is 1.6 MB and 0.4 MB for each order; answers are 1.6 MB for a kind to which all
// nodes are different, and next to nothing for others.
const fieldsKept = 16;
const answersKept = 32;
const selectionsKept = 8;
const tiesKept = 8;

/** Candidates in name order, each once. */
export interface Selection extends Candidates {
  readonly id: number;
  /** Position by slot; -1 = not selected. */
  readonly positions: Int32Array;
  /** Nodes that came or went before this was made. */
  readonly arrivals: number;
}

/**
 * The nodes that plans are made on. Its owner keeps it fresh with `set` and `delete`; a node's state is compiled once per
 * change, equal states are shared, and answers to requests are remembered, so that the cost of a plan follows what changed.
 */
export class Fleet {
  readonly kinds: readonly ResourceKind[];
  /** By slot; a slot is reused after its node is gone. */
  readonly nodes: (PlannedNode | undefined)[] = [];
  /** By kind. */
  readonly classes: readonly Classes[];
  /** By kind; only of those that look at other nodes. */
  readonly censuses: readonly (Census<unknown> | undefined)[];
  readonly changes = new ChangeLog();
  /** Grows when a node comes or goes. */
  arrivals = 0;
  readonly #slots = new Map<string, number>();
  readonly #free: number[] = [];
  /** Slots in the order of their nodes' names, in which every answer is given. */
  readonly #order: number[] = [];
  readonly #answers = new Recent<Answers>(answersKept);
  // These are valid until a node comes or goes.
  #known = new WeakMap<readonly string[], Selection>();
  #recent: Selection[] = [];
  readonly #fields = new Recent<SurveyedField>(fieldsKept);
  readonly #ties = new Recent<Int32Array>(tiesKept);
  #selectionsMade = 0;

  constructor(scheduler: { readonly kinds: readonly ResourceKind[] }) {
    this.kinds = scheduler.kinds;
    this.classes = this.kinds.map((kind) => new Classes(kind));
    this.censuses = this.kinds.map((kind) => kind.census?.());
  }

  get size(): number {
    return this.#slots.size;
  }

  get(name: string): PlannedNode | undefined {
    const slot = this.slotOf(name);
    return slot < 0 ? undefined : this.nodes[slot];
  }

  /** -1 when there is no such node. */
  slotOf(name: string): number {
    return this.#slots.get(name) ?? -1;
  }

  /** Adds a node, or replaces what is known of it. */
  set(node: PlannedNode): void {
    const slot = this.#slots.get(node.name) ?? this.#admit(node.name);
    this.nodes[slot] = node;
    for (const classes of this.classes) classes.set(slot, node);
    for (const census of this.censuses) census?.set(slot, node);
    this.changes.add(slot);
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

  /** The candidates, without doubles; `undefined` when nodes came or went between the steps. @throws EruError `not_found` */
  *select(candidates: readonly string[]): Steps<Selection | undefined> {
    const selection = this.#known.get(candidates) ?? (yield* this.#find(candidates));
    if (selection !== undefined) this.#known.set(candidates, selection);
    return selection;
  }

  /** What is remembered of these candidates for this demand; `refresh` it before use. */
  field(selection: Selection, { requests, texts }: Demand, seed: string): SurveyedField {
    const make = (): SurveyedField => {
      const answers = this.kinds.map((kind, index) => {
        const classes = this.classes[index] as Classes;
        const ask = (): Answers => new Answers(kind, requests[index], classes);
        const text = texts[index];
        return text === undefined ? ask() : this.#answers.get(`${kind.name} ${text}`, ask);
      });
      return new SurveyedField(this.changes, selection, answers, this.#tiesOf(selection, seed));
    };
    return texts.includes(undefined) ? make() : this.#fields.get(`${selection.id} ${seed} ${texts.join(' ')}`, make);
  }

  #tiesOf({ id, slots }: Selection, seed: string): Int32Array {
    const make = (): Int32Array =>
      tiesOf(
        Array.from(slots, (slot) => (this.nodes[slot] as PlannedNode).name),
        seed,
      );
    return this.#ties.get(`${id} ${seed}`, make);
  }

  /** Also another array of the same names finds its selection again, at the cost of reading it. */
  *#find(candidates: readonly string[]): Steps<Selection | undefined> {
    const { arrivals } = this;
    const positions = new Int32Array(this.nodes.length).fill(-1);
    let missing: string | undefined;
    yield* eachInSteps(candidates, (name) => {
      const slot = this.#slots.get(name);
      if (slot === undefined) missing ??= name;
      else positions[slot] = 0;
    });
    if (arrivals !== this.arrivals) return undefined;
    if (missing !== undefined)
      throw new EruError('not_found', `node ${missing} is not in the fleet`, { details: { node: missing } });
    const inOrder: number[] = [];
    yield* eachInSteps(this.#order, (slot) => {
      if (positions[slot] === 0) positions[slot] = inOrder.push(slot) - 1;
    });
    if (arrivals !== this.arrivals) return undefined;
    const slots = Int32Array.from(inOrder);
    const selection = this.#recent.find((recent) => equal(recent.slots, slots)) ?? this.#selection(slots, positions);
    this.#recent = [selection, ...this.#recent.filter((other) => other !== selection)].slice(0, selectionsKept);
    return selection;
  }

  #selection(slots: Int32Array, positions: Int32Array): Selection {
    this.#selectionsMade += 1;
    const has = (slot: number): boolean => (positions[slot] ?? -1) >= 0;
    return { id: this.#selectionsMade, slots, positions, has, arrivals: this.arrivals };
  }

  #forget(): void {
    this.arrivals += 1;
    this.#known = new WeakMap();
    this.#recent = [];
    this.#fields.clear();
    this.#ties.clear();
  }

  #admit(name: string): number {
    const slot = this.#free.pop() ?? this.nodes.length;
    this.#order.splice(this.#place(name), 0, slot);
    this.#slots.set(name, slot);
    this.#forget();
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
