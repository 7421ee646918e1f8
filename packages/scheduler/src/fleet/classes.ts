import { hashOf } from '../hash.ts';
import type { ResourceKind } from '../kind.ts';
import type { PlannedNode } from '../model.ts';

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
  /** By class: how many nodes are in it. */
  readonly #members: number[] = [];
  /**
   * By class: the hash of its fingerprint, and the next class of the same hash, -1 = none. Fingerprints themselves would take
   * as much again as the states: of the few that are compared they are made again.
   */
  readonly #hashes: number[] = [];
  readonly #next: number[] = [];
  /** The first class of each hash. */
  readonly #byHash = new Map<number, number>();
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
    const hash = text === undefined ? undefined : hashOf(text);
    const before = this.ofSlot[slot] as number;
    const known = hash === undefined ? -1 : this.#find(hash, text);
    if (known >= 0 && known === before) return;
    const now = known >= 0 ? known : this.#make(state, hash);
    this.#members[now] = (this.#members[now] as number) + 1;
    this.ofSlot[slot] = now;
    if (before >= 0) this.#leave(before);
  }

  delete(slot: number): void {
    this.#leave(this.ofSlot[slot] as number);
    this.ofSlot[slot] = -1;
  }

  #make(state: unknown, hash: number | undefined): number {
    const made = this.#free.pop() ?? this.states.length;
    this.#made += 1;
    if (made >= this.births.length) this.births = longer(this.births, 2 * made);
    this.births[made] = this.#made;
    this.states[made] = state;
    this.#members[made] = 0;
    if (hash === undefined) return made;
    this.#hashes[made] = hash;
    this.#next[made] = this.#byHash.get(hash) ?? -1;
    this.#byHash.set(hash, made);
    return made;
  }

  #leave(left: number): void {
    const members = (this.#members[left] as number) - 1;
    this.#members[left] = members;
    if (members > 0) return;
    if (this.#kind.fingerprint !== undefined) this.#unlink(left);
    this.states[left] = undefined;
    this.#free.push(left);
  }

  /** The class of this fingerprint, -1 = none. */
  #find(hash: number, text: string | undefined): number {
    let found = this.#byHash.get(hash) ?? -1;
    while (found >= 0 && this.#kind.fingerprint?.(this.states[found]) !== text) found = this.#next[found] as number;
    return found;
  }

  #unlink(left: number): void {
    const hash = this.#hashes[left] as number;
    const [first, next] = [this.#byHash.get(hash) as number, this.#next[left] as number];
    if (first !== left) {
      let before = first;
      while (this.#next[before] !== left) before = this.#next[before] as number;
      this.#next[before] = next;
    } else if (next >= 0) this.#byHash.set(hash, next);
    else this.#byHash.delete(hash);
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
