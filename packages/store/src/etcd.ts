import type { ClientTls } from '@eru/contract';
import type { Clock, Logger } from '@eru/kit';
import { EruError, invalid, isEruError, silentLogger, systemClock, toSafeNumber } from '@eru/kit';

import { Breath } from './breath.ts';
import type { EtcdCredential } from './etcd-auth.ts';
import { Endpoints } from './etcd-endpoints.ts';
import { LeaseStream } from './etcd-leases.ts';
import { findLimits } from './etcd-limits.ts';
import { WatchStream } from './etcd-watches.ts';
import { EtcdWire, leaseName, leaseNumber, revisionOf } from './etcd-wire.ts';
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

export interface EtcdStoreOptions {
  /** `HOST:PORT` of the members. */
  endpoints: readonly string[];
  /** In front of every key, invisible to callers; default `/eru/`. */
  prefix?: string;
  /** Where etcd wants a user (`auth enable`). */
  credential?: EtcdCredential;
  /** Absent = clear text. */
  tls?: ClientTls;
  /** Opens it although no member answers now: its calls fail until one does, and its limits are etcd's defaults. */
  mayBeSilent?: boolean;
  clock?: Clock;
  logger?: Logger;
}

/**
 * A store on an etcd cluster (v3.4 or later). Throws `unavailable` or `timeout` when no member answers, `unauthenticated`
 * when etcd refuses the user, or wants one, `forbidden` when the user may not use this prefix.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const store = new EtcdStore(options);
  try {
    await store.get('cluster');
    await store.findLimits();
    return store;
  } catch (error) {
    const silent = isEruError(error, 'unavailable') || isEruError(error, 'timeout');
    if (silent && options.mayBeSilent === true) return store;
    await store.close();
    const { code, message } = EruError.from(error);
    throw new EruError(code, `etcd at ${options.endpoints.join(', ')}: ${message}`, { cause: error });
  }
}

class EtcdStore implements Store {
  limits = etcdLimits;
  readonly #wire: EtcdWire;
  readonly #endpoints: Endpoints;
  readonly #leases: LeaseStream;
  readonly #watches: WatchStream;
  readonly #breath: Breath;
  #closed = false;

  constructor(options: EtcdStoreOptions) {
    const { endpoints, prefix = '/eru/', credential, tls, clock = systemClock, logger = silentLogger } = options;
    if (prefix === '') throw invalid('prefix', prefix, 'give the keys of this cluster a prefix, such as /eru/');
    this.#wire = new EtcdWire(prefix);
    this.#breath = new Breath();
    this.#endpoints = new Endpoints({
      addresses: endpoints,
      logger,
      ...(credential !== undefined && { credential }),
      ...(tls !== undefined && { tls }),
    });
    this.#leases = new LeaseStream(this.#endpoints, clock);
    this.#watches = new WatchStream(this.#endpoints, this.#wire, clock, logger);
  }

  async findLimits(): Promise<void> {
    this.limits = await findLimits(this.#endpoints, this.#wire);
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
    checkTxn(txn, this.limits, this.#wire.prefixBytes);
    this.#wantOpen();
    const request = this.#wire.txn(txn);
    const { header, succeeded, responses } = await this.#endpoints.call('write', ({ kv }) =>
      kv.txn(request, callOptions(txn.signal)),
    );
    await this.#breath.taken();
    return {
      succeeded,
      revision: revisionOf(header),
      results: responses.map((response) => this.#wire.result(response)),
    };
  }

  watch(watch: WatchOptions): AsyncIterable<WatchBatch> {
    checkRange(watch);
    this.#wantOpen();
    return this.#watches.watch(watch);
  }

  async grantLease(ttlMs: number): Promise<Lease> {
    if (!Number.isFinite(ttlMs) || ttlMs <= 0) throw invalid('ttlMs', ttlMs, 'give a positive number of milliseconds');
    this.#wantOpen();
    const { ID, TTL } = await this.#endpoints.call('write', ({ lease }) =>
      lease.leaseGrant({ TTL: BigInt(Math.ceil(ttlMs / 1000)) }),
    );
    return { id: leaseName(ID), ttlMs: toSafeNumber(TTL) * 1000 };
  }

  async renewLease(id: string): Promise<{ ttlMs: number }> {
    this.#wantOpen();
    return this.#leases.renew(id);
  }

  async revokeLease(id: string): Promise<void> {
    this.#wantOpen();
    try {
      // Ending it twice is the same as once, so a lost reply is asked for again.
      await this.#endpoints.call('read', ({ lease }) => lease.leaseRevoke({ ID: leaseNumber(id) }));
    } catch (error) {
      if (!isEruError(error, 'not_found')) throw error;
    }
  }

  async compact(revision: number): Promise<void> {
    this.#wantOpen();
    try {
      await this.#endpoints.call('read', ({ kv }) => kv.compact({ revision: BigInt(revision), physical: true }));
    } catch (error) {
      if (!isEruError(error, 'compacted')) throw error; // More than wanted is forgotten already.
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#leases.close();
    await this.#watches.close();
    this.#endpoints.close();
  }

  async #range(
    range: KeyRange,
    { revision = 0, limit = 0, keysOnly = false, signal }: ReadOptions & { limit?: number; keysOnly?: boolean },
  ): Promise<RangeResult> {
    checkRange(range);
    this.#wantOpen();
    const request = { ...this.#wire.range(range), revision: BigInt(revision), limit: BigInt(limit), keysOnly };
    const { header, kvs, more } = await this.#endpoints.call('read', ({ kv }) =>
      kv.range(request, callOptions(signal)),
    );
    await this.#breath.taken();
    // The header tells the newest revision, also of a read of the past.
    return { kvs: kvs.map((kv) => this.#wire.keyValue(kv)), more, revision: revision || revisionOf(header) };
  }

  #wantOpen(): void {
    if (this.#closed) throw new EruError('unavailable', 'the store is closed');
  }
}

function callOptions(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
