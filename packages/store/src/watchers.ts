import type { Interval } from './key-order.ts';
import { contains } from './key-order.ts';
import type { Revision } from './mvcc.ts';
import type { WatchBatch } from './store.ts';

/** The newest revisions are kept decoded for all watchers together; who is further behind reads history from the pages. */
const recentLimit = 1024;
/** A watcher whose range sees nothing still gets a mark after so many revisions. */
const progressEvery = 1000;
const historyChunk = 500;

/** Hands durable revisions to watchers. No queue per watcher: each is a cursor, so a slow one costs nothing. */
export class Watchers {
  readonly #readHistory: (from: number, events: number) => Revision[];
  #recent: Revision[] = [];
  #durable: number;
  #closed = false;
  readonly #waiting = new Set<() => void>();

  /** `readHistory` throws `compacted` when `from` is gone. */
  constructor(durable: number, readHistory: (from: number, events: number) => Revision[]) {
    this.#durable = durable;
    this.#readHistory = readHistory;
  }

  /** Everything up to here is on disk. */
  get durable(): number {
    return this.#durable;
  }

  publish(revisions: readonly Revision[]): void {
    const last = revisions.at(-1);
    if (last === undefined) return;
    this.#recent.push(...revisions);
    if (this.#recent.length > 2 * recentLimit) this.#recent = this.#recent.slice(-recentLimit);
    this.#durable = last.revision;
    this.#wake();
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }

  async *watch(interval: Interval, from: number, signal?: AbortSignal): AsyncGenerator<WatchBatch> {
    if (this.#closed || signal?.aborted) return;
    let next = from;
    let told = Math.min(from - 1, this.#durable);
    if (next <= this.#durable) this.#readHistory(next, 0); // Throws when it is forgotten, even if still in memory.
    yield { revision: told, events: [] };
    for (;;) {
      if (this.#closed || signal?.aborted) return;
      if (next > this.#durable) {
        await this.#changed(signal);
        continue;
      }
      for (const { revision, events } of this.#read(next)) {
        if (this.#closed || signal?.aborted) return;
        const seen = events.filter(({ key }) => contains(interval, key)).map(({ event }) => event);
        next = revision + 1;
        if (seen.length === 0 && revision - told < progressEvery) continue;
        told = revision;
        yield { revision, events: seen };
      }
    }
  }

  /** At least one revision, `next` first, none that is not durable. */
  #read(next: number): Revision[] {
    const first = this.#recent[0]?.revision ?? Number.POSITIVE_INFINITY;
    if (next >= first) return this.#recent.slice(next - first, next - first + historyChunk);
    return this.#readHistory(next, historyChunk).filter(({ revision }) => revision <= this.#durable);
  }

  #changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal?.addEventListener('abort', done, { once: true });
    });
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    for (const done of waiting) done();
  }
}
