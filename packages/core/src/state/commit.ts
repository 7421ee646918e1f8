import { assert, EruError, isEruError, retry, type Clock, type Random } from '@eru/kit';
import type { Compare, KeyValue, Store, TxnOp, TxnResult } from '@eru/store';

import { sameBytes } from './records.ts';
import type { Tenure } from './membership.ts';
import type { ClusterView } from './view.ts';

/** A key that only this writer may change: replaced only at the revision it is known at (0 = absent). */
export interface OwnWrite {
  key: string;
  revision: number;
  /** Absent = delete. */
  value?: Uint8Array;
  lease?: string;
}

/** A shared key, compared at the revision it was read at; `value` absent = only compared. */
export interface SharedWrite {
  key: string;
  revision: number;
  value?: Uint8Array;
}

export interface Commit {
  own: readonly OwnWrite[];
  shared?: readonly SharedWrite[];
  /** Further conditions. */
  compare?: readonly Compare[];
  /** Further deletions, of keys that nobody compares (a workload's status). */
  deletes?: readonly string[];
  /** Keys without value whose revision counts something (`apps/…`). */
  touch?: readonly string[];
}

export type CommitResult =
  | { committed: true; revision: number }
  /** What the keys of the commit hold instead, at this revision (absent keys are missing from the map). */
  | { committed: false; current: ReadonlyMap<string, KeyValue>; revision: number };

/** Operations that a commit needs of one branch, for staying under the store's limit. */
export function commitSize({ own, shared = [], compare = [], deletes = [], touch = [] }: Commit): number {
  return 1 + own.length + shared.length + compare.length + deletes.length + touch.length;
}

/**
 * Writes transactions under a tenure's fence. Every own key is compared, and read by the else branch; after a lost reply
 * the same transaction is sent again, and own keys as meant say that it had committed (docs/protocol.md, "Transactions").
 */
export class Committer {
  readonly #store: Store;
  readonly #view: ClusterView;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(options: { store: Store; view: ClusterView; clock: Clock; random: Random }) {
    this.#store = options.store;
    this.#view = options.view;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** `fenced` when the tenure is over: whoever has the operation now goes on with it. Waits out an unreachable store. */
  async commit(tenure: Tenure, commit: Commit): Promise<CommitResult> {
    assert(
      commitSize(commit) <= this.#store.limits.txnOperations,
      `a commit of ${commitSize(commit)} operations is over the store's limit`,
    );
    const { shared = [], deletes = [], touch = [] } = commit;
    const written = [...commit.own, ...shared];
    const compare: Compare[] = [tenure.fence, ...written.map(at), ...(commit.compare ?? [])];
    const then: TxnOp[] = [
      ...commit.own.flatMap(({ key, revision, value, lease }) => {
        if (value !== undefined) return [put(key, value, lease)];
        return revision === 0 ? [] : [remove(key)];
      }),
      ...shared.flatMap(({ key, value }) => (value === undefined ? [] : [put(key, value)])),
      ...touch.map((key) => put(key, touched)),
      ...deletes.map(remove),
    ];
    const readBack = [
      tenure.fence.key,
      ...written.map(({ key }) => key),
      ...(commit.compare ?? []).map(({ key }) => key),
    ];
    const otherwise: TxnOp[] = readBack.map((key) => ({ op: 'get', range: { key } }));
    let resent = false;
    const result = await retry(() => this.#store.txn({ compare, then, otherwise, signal: tenure.signal }), {
      signal: tenure.signal,
      clock: this.#clock,
      random: this.#random,
      retryable: (error) => {
        resent = true;
        return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
      },
    }).catch((error: unknown) => {
      throw tenure.signal.aborted ? EruError.from(tenure.signal.reason) : error;
    });
    if (result.succeeded) {
      this.#apply(then, result);
      return { committed: true, revision: result.revision };
    }
    const current = new Map(
      result.results.flatMap((answer) => (answer.op === 'get' ? answer.kvs.map((kv) => [kv.key, kv] as const) : [])),
    );
    if (current.get(tenure.fence.key)?.createRevision !== tenure.fence.value) {
      throw new EruError('fenced', 'this core has lost its lease; another core goes on with the operation');
    }
    if (resent && commit.own.length > 0 && commit.own.every((write) => asMeant(write, current.get(write.key)))) {
      const kvs = commit.own.flatMap(({ key }) => current.get(key) ?? []);
      this.#view.applyWrites(kvs, [], result.revision);
      return { committed: true, revision: Math.max(0, ...kvs.map((kv) => kv.modRevision)) || result.revision };
    }
    return { committed: false, current, revision: result.revision };
  }

  #apply(then: readonly TxnOp[], { revision }: TxnResult): void {
    const kvs = then.flatMap((op): KeyValue[] => (op.op === 'put' ? [this.#written(op, revision)] : []));
    const deleted = then.flatMap((op) => (op.op === 'delete' && 'key' in op.range ? [op.range.key] : []));
    this.#view.applyWrites(kvs, deleted, revision);
    // A deletion of what is not there is no change, and never told.
    if (kvs.length > 0) this.#view.owe(revision);
  }

  /** As the store has it now, but for the version and create revision, which nothing here compares. */
  #written({ key, value, lease }: Extract<TxnOp, { op: 'put' }>, revision: number): KeyValue {
    return { key, value, modRevision: revision, createRevision: revision, version: 1, lease };
  }
}

const touched = new TextEncoder().encode('{"v":1}');

function at({ key, revision }: OwnWrite): Compare {
  return { key, target: 'mod', op: '=', value: revision };
}

function put(key: string, value: Uint8Array, lease?: string): TxnOp {
  return { op: 'put', key, value, ...(lease !== undefined && { lease }) };
}

function remove(key: string): TxnOp {
  return { op: 'delete', range: { key } };
}

function asMeant(write: OwnWrite, current: KeyValue | undefined): boolean {
  if (write.value === undefined) return current === undefined;
  return current !== undefined && current.modRevision > write.revision && sameBytes(current.value, write.value);
}
