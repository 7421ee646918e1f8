import type { KeyValue } from '@eru/store';

import { type Versioned, versioned } from './records.ts';

/**
 * The keys under one prefix, decoded. Changes may come twice and out of order, because a core applies its own writes at
 * once and sees them again in the watch: the higher revision wins, and a deletion is remembered until the watch has passed it.
 */
export class Table<T> implements Iterable<[string, Versioned<T>]> {
  readonly prefix: string;
  readonly #entries = new Map<string, Versioned<T>>();
  readonly #tombstones = new Map<string, number>();

  constructor(prefix: string) {
    this.prefix = prefix;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(name: string): Versioned<T> | undefined {
    return this.#entries.get(name);
  }

  [Symbol.iterator](): Iterator<[string, Versioned<T>]> {
    return this.#entries[Symbol.iterator]();
  }

  names(): string[] {
    return [...this.#entries.keys()].toSorted();
  }

  /** Answers what was there before, or false when the change is old news. */
  put(kv: KeyValue): { before: Versioned<T> | undefined; after: Versioned<T> } | false {
    const name = kv.key.slice(this.prefix.length);
    const before = this.#entries.get(name);
    if (kv.modRevision <= Math.max(before?.modRevision ?? 0, this.#tombstones.get(name) ?? 0)) return false;
    const after = versioned<T>(kv);
    this.#tombstones.delete(name);
    this.#entries.set(name, after);
    return { before, after };
  }

  delete(key: string, modRevision: number): { before: Versioned<T> } | false {
    const name = key.slice(this.prefix.length);
    const before = this.#entries.get(name);
    if (modRevision <= Math.max(before?.modRevision ?? 0, this.#tombstones.get(name) ?? 0)) return false;
    this.#tombstones.set(name, modRevision);
    if (before === undefined) return false;
    this.#entries.delete(name);
    return { before };
  }

  /** The watch has delivered everything up to here: older deletions cannot come back. */
  forget(revision: number): void {
    for (const [name, deleted] of this.#tombstones) if (deleted <= revision) this.#tombstones.delete(name);
  }
}
