import type { Clock, Random } from '@eru/kit';
import { EruError, backoff, isEruError } from '@eru/kit';
import type { Compare, Store, TxnOp } from '@eru/store';

import { encode } from './records.ts';
import type { NetworkView } from './view.ts';

/** A key and what is to be there instead of what the view says; absent = nothing. */
export interface Write {
  readonly key: string;
  readonly record?: object;
}

export interface Change<T> {
  readonly writes: readonly Write[];
  /** Keys that must be as the view has them, and stay. */
  readonly guards?: readonly string[];
  readonly answer: T;
}

/** A change that loses so often meets a bug or a storm. */
const attemptsMax = 64;
/** A store that does not answer: the same transaction is sent again so often, then its error is the caller's. */
const resendsMax = 5;

/**
 * Makes changes of several keys, all or nothing. `decide` is pure: it looks at the view and says what to write. Every key
 * is compared at the revision that the view has; when one has changed, the view learns it and `decide` is asked again.
 * After a lost reply the same transaction is sent again, and keys that are as meant say that it had committed: records
 * carry who wrote them.
 */
export class Changes {
  readonly #store: Store;
  readonly #view: NetworkView;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: { store: Store; view: NetworkView; clock: Clock; random: Random }) {
    this.#store = options.store;
    this.#view = options.view;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  async make<T>(decide: () => Change<T>, signal?: AbortSignal): Promise<T> {
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const change = decide();
      if (change.writes.length === 0) return change.answer;
      if (await this.#commit(change, signal)) return change.answer;
      if (attempt > 2)
        await this.#clock.sleep(backoff(attempt - 2, { baseMs: 2, maxMs: 100, random: this.#random }), signal);
    }
    throw new EruError(
      'conflict',
      `the network's records changed ${attemptsMax} times while they were to be written; try again`,
    );
  }

  async #commit({ writes, guards = [] }: Change<unknown>, signal: AbortSignal | undefined): Promise<boolean> {
    const view = this.#view;
    const touched = [...writes.map(({ key }) => key), ...guards];
    const room = this.#store.limits.txnOperations;
    if (touched.length > room)
      throw new EruError(
        'too_large',
        `a change of ${touched.length} records is over the store's ${room}; publish fewer ports at once`,
      );
    const compare = touched.map((key): Compare => ({ key, target: 'mod', op: '=', value: view.revisionOf(key) }));
    const values = writes.map(({ key, record }) => ({ key, value: record === undefined ? undefined : encode(record) }));
    const then = values.map(({ key, value }): TxnOp =>
      value === undefined ? { op: 'delete', range: { key } } : { op: 'put', key, value },
    );
    const otherwise = touched.map((key): TxnOp => ({ op: 'get', range: { key } }));
    const txn = { compare, then, otherwise, ...(signal !== undefined && { signal }) };
    for (let sent = 1; ; sent++) {
      try {
        const { succeeded, revision, results } = await this.#store.txn(txn);
        if (succeeded) {
          for (const { key, value } of values) view.apply(key, value, revision);
          return true;
        }
        const found = results.map((result) => (result.op === 'get' ? result.kvs[0] : undefined));
        for (const [index, key] of touched.entries())
          view.apply(key, found[index]?.value, found[index]?.modRevision ?? revision);
        return sent > 1 && values.every(({ value }, index) => same(value, found[index]?.value));
      } catch (error) {
        const silent = isEruError(error, 'unavailable') || isEruError(error, 'timeout');
        if (!silent || sent > resendsMax || signal?.aborted === true) throw error;
        await this.#clock.sleep(backoff(sent, { random: this.#random }), signal);
      }
    }
  }
}

function same(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0;
}
