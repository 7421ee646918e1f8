import type { ResourceKind } from './kind.ts';
import type { PlannedNode } from './model.ts';

/**
 * What one kind knows of the nodes of a fleet. Nodes about which it would always say the same form a class and share a
 * state: a fleet of 50,000 machines of three models, half of them empty, is asked about a few thousand times.
 *
 * Classes are small integers. One that no node is in any more is given away again; its birth number tells the old one from
 * the new.
 */
export class Classes {
  /** By class. */
  readonly states: unknown[] = [];
  /** By class: grows with every class that is made, never 0. */
  births = new Float64Array(16);
  /** By slot; -1 = no node. */
  ofSlot = new Int32Array(64).fill(-1);

  readonly #kind: ResourceKind;
  /** By class: how many nodes are in it, and what it is known by. */
  readonly #members: number[] = [];
  readonly #texts: (string | undefined)[] = [];
  readonly #byText = new Map<string, number>();
  readonly #free: number[] = [];
  #made = 0;

  constructor(kind: ResourceKind) {
    this.#kind = kind;
  }

  /** The largest number of classes there has been at once. */
  get size(): number {
    return this.states.length;
  }

  stateOf(slot: number): unknown {
    return this.states[this.ofSlot[slot] as number];
  }

  set(slot: number, node: PlannedNode): void {
    if (slot >= this.ofSlot.length) this.#lengthen(slot);
    const state = this.#kind.state(node);
    const text = this.#kind.fingerprint?.(state);
    const before = this.ofSlot[slot] as number;
    const known = text === undefined ? undefined : this.#byText.get(text);
    if (known !== undefined && known === before) return;
    const now = known ?? this.#make(state, text);
    this.#members[now] = (this.#members[now] as number) + 1;
    this.ofSlot[slot] = now;
    if (before >= 0) this.#leave(before);
  }

  delete(slot: number): void {
    this.#leave(this.ofSlot[slot] as number);
    this.ofSlot[slot] = -1;
  }

  #make(state: unknown, text: string | undefined): number {
    const made = this.#free.pop() ?? this.states.length;
    this.#made += 1;
    if (made >= this.births.length) this.births = longer(this.births, 2 * made);
    this.births[made] = this.#made;
    this.states[made] = state;
    this.#members[made] = 0;
    this.#texts[made] = text;
    if (text !== undefined) this.#byText.set(text, made);
    return made;
  }

  #leave(left: number): void {
    const members = (this.#members[left] as number) - 1;
    this.#members[left] = members;
    if (members > 0) return;
    const text = this.#texts[left];
    if (text !== undefined) this.#byText.delete(text);
    this.#texts[left] = undefined;
    this.states[left] = undefined;
    this.#free.push(left);
  }

  #lengthen(slot: number): void {
    const ofSlot = new Int32Array(2 * slot).fill(-1);
    ofSlot.set(this.ofSlot);
    this.ofSlot = ofSlot;
  }
}

function longer(short: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const long = new Float64Array(length);
  long.set(short);
  return long;
}
