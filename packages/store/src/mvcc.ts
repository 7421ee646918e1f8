import { EruError, invalid } from '@eru/kit';

import type { ByteKey, Interval } from './key-order.ts';
import { afterPrefix, contains, intervalOf, toByteKey } from './key-order.ts';
import type { PageReader, PageWriter } from './pages.ts';
import type { Change, StoredValue } from './record.ts';
import { decodeChange, decodeValue, encodeChange, encodeValue, toKeyValue } from './record.ts';
import type { Compare, KeyValue, RangeResult, StoreEvent, Txn, TxnOp, TxnOpResult, TxnResult } from './store.ts';

/*
 * The engine: etcd's meaning on an ordered map. Five tables, told apart by the first byte:
 *   c<key>             the present value
 *   h<revision><index> every change since `compacted`, with the value before it
 *   l<lease>           its time to live
 *   a<lease><key>      keys attached to a lease
 *   m                  the head: counters of the whole store
 * A read of the past takes the present and undoes the changes since, which are few: readers page through a recent revision.
 */
const present = 'c';
const history = 'h';
const leases = 'l';
const attached = 'a';
const headKey = 'm';

export interface Head {
  format: 1;
  /** Of the last transaction that wrote; an empty store is at 1, as in etcd. */
  revision: number;
  /** Changes before this revision are forgotten; it can itself still be read and watched. */
  compacted: number;
  /** Size of the history table, for its bound. */
  historyBytes: number;
}

/** How much past is kept: what a watcher may fall behind, and what bounds the file. */
export interface HistoryBound {
  revisions: number;
  bytes: number;
}

export interface Revision {
  revision: number;
  events: { key: ByteKey; event: StoreEvent }[];
}

export function readHead(reader: PageReader): Head {
  const bytes = reader.get(headKey);
  if (bytes === undefined) return { format: 1, revision: 1, compacted: 0, historyBytes: 0 };
  const head = JSON.parse(Buffer.from(bytes).toString()) as Head;
  if (head.format !== 1)
    throw new EruError('precondition', `the store has format ${String(head.format)}; this version of Eru knows 1`);
  return head;
}

export interface ReadRequest {
  revision?: number | undefined;
  limit?: number | undefined;
  keysOnly?: boolean | undefined;
}

/** Keys of the interval, in order, as of a revision. */
export function readRange(reader: PageReader, interval: Interval, request: ReadRequest): RangeResult {
  const head = readHead(reader);
  const { revision = head.revision, limit = Number.POSITIVE_INFINITY, keysOnly = false } = request;
  if (revision > head.revision) throw invalid('revision', revision, `the store is at ${head.revision}`);
  if (revision < head.compacted) throw compactedError(revision, head.compacted);
  const kvs: KeyValue[] = [];
  for (const [key, encoded] of revision === head.revision
    ? presentValues(reader, interval)
    : pastValues(reader, interval, revision)) {
    if (kvs.length >= limit) return { kvs, more: true, revision };
    kvs.push(toKeyValue(key, decodeValue(encoded), keysOnly));
  }
  return { kvs, more: false, revision };
}

/** Whole revisions from `from` on, at least `events` changes if there are as many; `compacted` when `from` is gone. */
export function readHistory(reader: PageReader, from: number, events: number): Revision[] {
  const { compacted } = readHead(reader);
  if (from < compacted) throw compactedError(from, compacted);
  const revisions: Revision[] = [];
  let count = 0;
  for (const [key, encoded] of reader.scan(historyKey(from, 0), afterPrefix(history))) {
    const revision = revisionOf(key);
    let last = revisions.at(-1);
    if (last?.revision !== revision) {
      if (count >= events) break;
      last = { revision, events: [] };
      revisions.push(last);
    }
    last.events.push(toEvent(revision, decodeChange(encoded)));
    count += 1;
  }
  return revisions;
}

export function compactedError(wanted: number, compacted: number): EruError {
  return new EruError('compacted', `revision ${wanted} is gone; the oldest is ${compacted}`, {
    details: { compactRevision: compacted },
  });
}

export function readLeases(reader: PageReader): { id: string; ttlMs: number; keys: ByteKey[] }[] {
  return [...reader.scan(leases, afterPrefix(leases))].map(([key, bytes]) => {
    const id = key.slice(leases.length);
    return { id, ttlMs: Number(Buffer.from(bytes).toString()), keys: attachedKeys(reader, id) };
  });
}

/** One write transaction of the pages, in which any number of the store's transactions happen one after the other. */
export class Writing {
  readonly revisions: Revision[] = [];
  readonly #writer: PageWriter;
  readonly #head: Head;
  #changes = 0;

  constructor(writer: PageWriter) {
    this.#writer = writer;
    this.#head = readHead(writer);
  }

  get revision(): number {
    return this.#head.revision;
  }

  /** Throws before its first write, or not at all: others share the transaction. */
  txn(txn: Txn): TxnResult {
    const succeeded = (txn.compare ?? []).every((compare) => holds(compare, this.#present(toByteKey(compare.key))));
    const operations = succeeded ? txn.then : (txn.otherwise ?? []);
    for (const operation of operations) {
      if (operation.op === 'put' && operation.lease !== undefined) this.#wantLease(operation.lease);
    }
    const events: Revision['events'] = [];
    const results = operations.map((operation) => this.#apply(operation, events));
    this.#close(events);
    return { succeeded, revision: this.#head.revision, results };
  }

  grant(id: string, ttlMs: number): void {
    this.#writer.put(leases + id, Buffer.from(String(ttlMs)));
  }

  /** All its keys go at one revision. */
  revoke(id: string): void {
    const events: Revision['events'] = [];
    for (const key of attachedKeys(this.#writer, id)) this.#delete(key, events);
    this.#writer.remove(leases + id);
    this.#close(events);
  }

  compact(revision: number): void {
    if (revision > this.#head.revision) throw invalid('revision', revision, `the store is at ${this.#head.revision}`);
    this.#head.compacted = Math.max(this.#head.compacted, revision);
  }

  /**
   * Forgets what is over the bound and writes the head. A little with every transaction, so that no transaction pays for
   * many; `more` tells that something forgotten is still on disk.
   */
  finish(bound: HistoryBound, least = 64): { more: boolean } {
    const head = this.#head;
    head.compacted = Math.max(head.compacted, head.revision - bound.revisions);
    const gone: [ByteKey, number][] = [];
    let more = false;
    for (const [key, encoded] of this.#writer.scan(history, historyKey(head.revision, 0))) {
      const revision = revisionOf(key);
      if (revision >= head.compacted && head.historyBytes <= bound.bytes) break;
      if (gone.length >= least + 2 * this.#changes) {
        more = true;
        break;
      }
      gone.push([key, encoded.byteLength]);
      head.historyBytes -= encoded.byteLength;
      head.compacted = Math.max(head.compacted, revision + 1);
    }
    for (const [key] of gone) this.#writer.remove(key);
    this.#writer.put(headKey, Buffer.from(JSON.stringify(head)));
    return { more };
  }

  #apply(operation: TxnOp, events: Revision['events']): TxnOpResult {
    switch (operation.op) {
      case 'put':
        this.#put(operation, events);
        return { op: 'put' };
      case 'delete': {
        const keys = [...presentValues(this.#writer, intervalOf(operation.range))].map(([key]) => key);
        for (const key of keys) this.#delete(key, events);
        return { op: 'delete', deleted: keys.length };
      }
      case 'get': {
        const kvs: KeyValue[] = [];
        for (const [key, encoded] of presentValues(this.#writer, intervalOf(operation.range))) {
          if (kvs.length === operation.limit) return { op: 'get', kvs, more: true };
          kvs.push(toKeyValue(key, decodeValue(encoded), operation.keysOnly));
        }
        return { op: 'get', kvs, more: false };
      }
    }
  }

  #put({ key: text, value, lease }: TxnOp & { op: 'put' }, events: Revision['events']): void {
    const key = toByteKey(text);
    const previous = this.#writer.get(present + key);
    const before = previous === undefined ? undefined : decodeValue(previous);
    const modRevision = this.#head.revision + 1;
    const next = encodeValue({
      createRevision: before?.createRevision ?? modRevision,
      modRevision,
      version: (before?.version ?? 0) + 1,
      lease,
      value,
    });
    if (before?.lease !== lease) {
      if (before?.lease !== undefined) this.#writer.remove(attached + before.lease + key);
      if (lease !== undefined) this.#writer.put(attached + lease + key, new Uint8Array(1));
    }
    this.#writer.put(present + key, next);
    this.#record({ key, next, previous }, events);
  }

  #delete(key: ByteKey, events: Revision['events']): void {
    const previous = this.#writer.get(present + key);
    if (previous === undefined) return;
    const { lease } = decodeValue(previous);
    if (lease !== undefined) this.#writer.remove(attached + lease + key);
    this.#writer.remove(present + key);
    this.#record({ key, next: undefined, previous }, events);
  }

  #record(change: Change, events: Revision['events']): void {
    const encoded = encodeChange(change);
    const revision = this.#head.revision + 1;
    this.#writer.put(historyKey(revision, events.length), encoded);
    this.#head.historyBytes += encoded.byteLength;
    this.#changes += 1;
    events.push(toEvent(revision, change));
  }

  #close(events: Revision['events']): void {
    if (events.length === 0) return;
    this.#head.revision += 1;
    this.revisions.push({ revision: this.#head.revision, events });
  }

  #present(key: ByteKey): StoredValue | undefined {
    const encoded = this.#writer.get(present + key);
    return encoded === undefined ? undefined : decodeValue(encoded);
  }

  #wantLease(id: string): void {
    if (this.#writer.get(leases + id) === undefined) throw leaseGone(id);
  }
}

export function leaseGone(id: string): EruError {
  return new EruError('not_found', `lease ${id} has ended`);
}

function holds(compare: Compare, stored: StoredValue | undefined): boolean {
  if (compare.target === 'value') {
    // An absent key has no value; as in etcd, no comparison with it holds.
    if (stored === undefined) return false;
    return (Buffer.compare(stored.value, compare.value) === 0) === (compare.op === '=');
  }
  const actual =
    compare.target === 'create'
      ? stored?.createRevision
      : compare.target === 'mod'
        ? stored?.modRevision
        : stored?.version;
  switch (compare.op) {
    case '=':
      return (actual ?? 0) === compare.value;
    case '!=':
      return (actual ?? 0) !== compare.value;
    case '<':
      return (actual ?? 0) < compare.value;
    case '>':
      return (actual ?? 0) > compare.value;
  }
}

function* presentValues(reader: PageReader, { start, end }: Interval): Iterable<[ByteKey, Uint8Array]> {
  if (end !== undefined && end <= start) return;
  const from = present + start;
  for (const [key, encoded] of reader.scan(from, end === undefined ? afterPrefix(present) : present + end))
    yield [key.slice(present.length), encoded];
}

/** The present merged with what the first change after `revision` says was there before it. */
function* pastValues(reader: PageReader, interval: Interval, revision: number): Iterable<[ByteKey, Uint8Array]> {
  const before = new Map<ByteKey, Uint8Array | undefined>();
  for (const [, encoded] of reader.scan(historyKey(revision + 1, 0), afterPrefix(history))) {
    const { key, previous } = decodeChange(encoded);
    if (contains(interval, key) && !before.has(key)) before.set(key, previous);
  }
  const changed = [...before.keys()].sort();
  let index = 0;
  for (const [key, encoded] of presentValues(reader, interval)) {
    for (; index < changed.length && (changed[index] as ByteKey) < key; index++) {
      const previous = before.get(changed[index] as ByteKey);
      if (previous !== undefined) yield [changed[index] as ByteKey, previous];
    }
    if (changed[index] !== key) {
      yield [key, encoded];
      continue;
    }
    index += 1;
    const previous = before.get(key);
    if (previous !== undefined) yield [key, previous];
  }
  for (; index < changed.length; index++) {
    const previous = before.get(changed[index] as ByteKey);
    if (previous !== undefined) yield [changed[index] as ByteKey, previous];
  }
}

function toEvent(revision: number, { key, next }: Change): { key: ByteKey; event: StoreEvent } {
  if (next !== undefined) return { key, event: { type: 'put', kv: toKeyValue(key, decodeValue(next)) } };
  const { key: text } = toKeyValue(key, noValue);
  return { key, event: { type: 'delete', key: text, modRevision: revision } };
}

const noValue: StoredValue = {
  createRevision: 0,
  modRevision: 0,
  version: 0,
  lease: undefined,
  value: new Uint8Array(),
};

function attachedKeys(reader: PageReader, lease: string): ByteKey[] {
  const prefix = attached + lease;
  return Array.from(reader.scan(prefix, afterPrefix(prefix)), ([key]) => key.slice(prefix.length));
}

function historyKey(revision: number, index: number): ByteKey {
  const bytes = Buffer.allocUnsafe(10);
  bytes.writeUIntBE(revision, 0, 6);
  bytes.writeUInt32BE(index, 6);
  return history + bytes.toString('latin1');
}

function revisionOf(key: ByteKey): number {
  return Buffer.from(key, 'latin1').readUIntBE(history.length, 6);
}
