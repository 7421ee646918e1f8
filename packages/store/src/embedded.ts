import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { Clock, Logger, Random } from '@eru/kit';
import { EruError, invalid, lockFolder, silentLogger, systemClock, systemRandom } from '@eru/kit';

import { intervalOf } from './key-order.ts';
import { LeaseTimes } from './leases.ts';
import { openLmdbPages } from './lmdb-pages.ts';
import { openMemoryPages } from './memory-pages.ts';
import type { HistoryBound, ReadRequest, Revision } from './mvcc.ts';
import { Writing, leaseGone, readHead, readHistory, readLeases, readRange } from './mvcc.ts';
import type { PageReader, Pages } from './pages.ts';
import { checkLimit, checkRange, checkTxn, etcdLimits } from './request.ts';
import type {
  KeyRange,
  KeyValue,
  Lease,
  RangeOptions,
  RangeResult,
  ReadOptions,
  Store,
  Txn,
  TxnResult,
  WatchBatch,
  WatchOptions,
} from './store.ts';
import { Watchers } from './watchers.ts';

export interface MemoryStoreOptions {
  clock?: Clock;
  /** Names leases. */
  random?: Random;
  logger?: Logger;
  /** What the history holds; default 10,000 revisions or 64 MiB, whichever is less. */
  history?: HistoryBound;
}

export interface EmbeddedStoreOptions extends MemoryStoreOptions {
  /** Made when absent. It holds one file and is owned by one process at a time. */
  folder: string;
}

/**
 * The store of a cluster that lives in one process. Throws `busy` when another process has the folder. Leases of cores
 * (those that hold a key under `cores/`) end at opening, since the one process they can have belonged to is gone; the
 * others get their full time to live again, since nobody could renew them meanwhile.
 */
export async function openEmbeddedStore(options: EmbeddedStoreOptions): Promise<Store> {
  await mkdir(options.folder, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(options.folder, 'store');
  let pages: Pages | undefined;
  try {
    pages = openLmdbPages(path.join(options.folder, 'store.lmdb'));
    return await EngineStore.open(pages, options, () => lock.release());
  } catch (error) {
    await pages?.close();
    await lock.release();
    throw error;
  }
}

/** The same engine on memory: for simulations and tests. */
export function openMemoryStore(options: MemoryStoreOptions = {}): Promise<Store> {
  return EngineStore.open(openMemoryPages(), options, () => Promise.resolve());
}

/** A batch ends after so many operations, so that no batch holds the event loop. */
const batchOperations = 512;
const leaseRetryMs = 1000;

interface Pending {
  operations: number;
  /** Runs inside the batch's transaction; what it throws is its caller's alone. */
  work: (writing: Writing) => unknown;
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
  signal: AbortSignal | undefined;
}

/** A batch that is visible, to be told when it is on disk. */
interface Done {
  batch: readonly Pending[];
  revisions: Revision[];
  answers: (() => void)[];
}

class EngineStore implements Store {
  readonly limits = etcdLimits;
  readonly #pages: Pages;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #bound: HistoryBound;
  readonly #release: () => Promise<void>;
  readonly #leases: LeaseTimes;
  readonly #watchers: Watchers;
  readonly #pending: Pending[] = [];
  readonly #readers: { revision: number; resolve: () => void; reject: (error: unknown) => void }[] = [];
  /** Ends when the last batch is on disk and told; batches are told in order. */
  #told: Promise<void> = Promise.resolve();
  #pumping: Promise<void> | undefined;
  /** Set when the disk failed after a change became visible: nobody can know what is on it. */
  #broken: EruError | undefined;
  #closing: Promise<void> | undefined;

  static async open(pages: Pages, options: MemoryStoreOptions, release: () => Promise<void>): Promise<Store> {
    const { history = { revisions: 10_000, bytes: 64 * 1024 * 1024 } } = options;
    const { value: leases, durable } = await pages.write((writer) => {
      const writing = new Writing(writer);
      const known = readLeases(writer);
      const ended = known.filter(({ keys }) => keys.some((key) => key.startsWith('cores/')));
      for (const { id } of ended) writing.revoke(id);
      writing.finish(history);
      return known.filter((lease) => !ended.includes(lease));
    });
    await durable;
    const store = new EngineStore(pages, options, history, release);
    for (const { id, ttlMs } of leases) store.#leases.set(id, ttlMs);
    return store;
  }

  private constructor(pages: Pages, options: MemoryStoreOptions, history: HistoryBound, release: () => Promise<void>) {
    this.#pages = pages;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#logger = options.logger ?? silentLogger;
    this.#bound = history;
    this.#release = release;
    this.#leases = new LeaseTimes(this.#clock, (id) => this.#expire(id));
    this.#watchers = new Watchers(pages.read(readHead).revision, (from, events) =>
      pages.read((reader) => readHistory(reader, from, events)),
    );
  }

  async get(key: string, options: ReadOptions = {}): Promise<KeyValue | undefined> {
    const { kvs } = await this.#range({ key }, options);
    return kvs[0];
  }

  async range(range: RangeOptions): Promise<RangeResult> {
    checkLimit(range.limit);
    return this.#range(range, range);
  }

  async txn(txn: Txn): Promise<TxnResult> {
    checkTxn(txn, this.limits);
    const operations = txn.then.length + (txn.otherwise?.length ?? 0) + (txn.compare?.length ?? 0);
    return this.#submit(operations, (writing) => this.#checked(txn, writing), txn.signal);
  }

  watch(watch: WatchOptions): AsyncIterable<WatchBatch> {
    checkRange(watch);
    this.#wantOpen();
    return this.#watchers.watch(intervalOf(watch), watch.fromRevision ?? this.#watchers.durable + 1, watch.signal);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    if (!Number.isFinite(ttlMs) || ttlMs <= 0) throw invalid('ttlMs', ttlMs, 'give a positive number of milliseconds');
    const id = this.#random.hex(16);
    await this.#submit(1, (writing) => writing.grant(id, ttlMs));
    this.#leases.set(id, ttlMs);
    return { id, ttlMs };
  }

  async renewLease(id: string): Promise<{ ttlMs: number }> {
    this.#wantOpen();
    const ttlMs = this.#leases.renew(id);
    if (ttlMs === undefined) throw leaseGone(id);
    return { ttlMs };
  }

  async revokeLease(id: string): Promise<void> {
    this.#leases.drop(id);
    await this.#submit(1, (writing) => writing.revoke(id));
  }

  /** Resolves when the room of the forgotten is free for new data. */
  async compact(revision: number): Promise<void> {
    await this.#submit(1, (writing) => writing.compact(revision));
    for (let more = true; more;) {
      more = await this.#submit(batchOperations, (writing) => writing.finish(this.#bound, batchOperations).more);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#leases.close();
    this.#watchers.close();
    await this.#pumping;
    await this.#told;
    await this.#pages.close();
    await this.#release();
  }

  async #range(range: KeyRange, request: ReadRequest & { signal?: AbortSignal }): Promise<RangeResult> {
    checkRange(range);
    this.#wantOpen();
    if (request.signal?.aborted) throw EruError.from(request.signal.reason);
    const { result, revision } = this.#pages.read((reader: PageReader) => ({
      result: readRange(reader, intervalOf(range), request),
      revision: readHead(reader).revision,
    }));
    await this.#durable(revision);
    return result;
  }

  /** What is visible may not be on disk yet; nobody is told of it before. */
  async #durable(revision: number): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken;
    if (revision <= this.#watchers.durable) return;
    await new Promise<void>((resolve, reject) => this.#readers.push({ revision, resolve, reject }));
  }

  /** A lease that ran out while its transaction waited is gone, though its keys are not yet. */
  #checked(txn: Txn, writing: Writing): TxnResult {
    for (const operation of [...txn.then, ...(txn.otherwise ?? [])]) {
      if (operation.op === 'put' && operation.lease !== undefined && !this.#leases.has(operation.lease))
        throw leaseGone(operation.lease);
    }
    return writing.txn(txn);
  }

  #submit<T>(operations: number, work: (writing: Writing) => T, signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#wantOpen();
      this.#pending.push({ operations, work, resolve, reject, signal });
      this.#pumping ??= this.#pump();
    });
  }

  /** Group commit: whatever has come when a transaction of the pages begins shares it and its flush. */
  async #pump(): Promise<void> {
    await Promise.resolve();
    while (this.#pending.length > 0) {
      let batch: Pending[] = [];
      try {
        const { value, durable } = await this.#pages.write((writer) => {
          batch = this.#take();
          return this.#run(batch, new Writing(writer));
        });
        this.#told = this.#tell(this.#told, value, durable);
      } catch (error) {
        // Nothing of the batch has happened; whoever comes next may have more luck.
        this.#logger.error({ err: error }, 'the store could not write');
        for (const { reject } of batch.length > 0 ? batch : this.#take()) reject(error);
      }
    }
    // At once with the look at an empty queue: who comes a moment later must find that nobody pumps.
    this.#pumping = undefined;
  }

  #take(): Pending[] {
    let operations = 0;
    let count = 0;
    for (const pending of this.#pending) {
      if (count > 0 && operations + pending.operations > batchOperations) break;
      operations += pending.operations;
      count += 1;
    }
    return this.#pending.splice(0, count);
  }

  #run(batch: readonly Pending[], writing: Writing): Done {
    const answers = batch.map(({ work, resolve, reject, signal }) => {
      try {
        if (signal?.aborted) throw EruError.from(signal.reason);
        const value = work(writing);
        return () => resolve(value as never);
      } catch (error) {
        if (!(error instanceof EruError) || error.code === 'failed') throw error;
        return () => reject(error);
      }
    });
    writing.finish(this.#bound);
    return { batch, revisions: writing.revisions, answers };
  }

  async #tell(before: Promise<void>, { batch, revisions, answers }: Done, durable: Promise<void>): Promise<void> {
    try {
      await Promise.all([before, durable]);
    } catch (error) {
      this.#broken ??= new EruError('failed', 'the disk failed while the store wrote; stop Eru and start it again', {
        cause: error,
      });
      this.#logger.error({ err: error }, this.#broken.message);
    }
    if (this.#broken !== undefined) {
      // Nobody can tell what of it is on the disk, so nobody is told that it happened.
      this.#watchers.close();
      for (const { reject } of batch) reject(this.#broken);
      for (const { reject } of this.#readers.splice(0)) reject(this.#broken);
      return;
    }
    this.#watchers.publish(revisions);
    for (const answer of answers) answer();
    const { durable: reached } = this.#watchers;
    for (const reader of this.#readers.splice(0)) {
      if (reader.revision <= reached) reader.resolve();
      else this.#readers.push(reader);
    }
  }

  #expire(id: string): void {
    this.#submit(1, (writing) => writing.revoke(id)).catch((error: unknown) => {
      if (this.#closing !== undefined || this.#broken !== undefined) return;
      this.#logger.error({ err: error, lease: id }, 'the keys of an ended lease could not be deleted; trying again');
      this.#clock.timer(leaseRetryMs, () => this.#expire(id));
    });
  }

  #wantOpen(): void {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#closing !== undefined) throw new EruError('unavailable', 'the store is closed');
  }
}
