import type { Clock, Logger } from '@eru/kit';
import { isEruError, retry } from '@eru/kit';
import type { KeyValue, Store } from '@eru/store';

import type { Pool } from './pool.ts';
import { compilePool } from './pool.ts';
import type { ViewCache } from './view-cache.ts';
import type { AddressRecord, BlockRecord, Reservation } from './records.ts';
import { addressOfKey, decode, keys } from './records.ts';

/** A record as it is known, and since which revision. */
export interface Known<T> {
  readonly record: T;
  readonly revision: number;
}

const pageLimit = 1000;

/**
 * Everything of the network that is in the store, in memory: loaded once, followed by one watch, with the own writes
 * applied at once. It may lag behind others, so it proposes; transactions decide.
 */
export class NetworkView {
  readonly #known = new Map<string, Known<unknown>>();
  /** Of deletions that the watch has not told yet. */
  readonly #gone = new Map<string, number>();
  readonly #pools = new Map<string, Pool>();
  /** By realm, then by address. */
  readonly #taken = new Map<string, Map<bigint, Known<AddressRecord>>>();
  /** By realm. */
  readonly #freed = new Map<string, number>();
  /** By owner, then by interface. */
  readonly #reservations = new Map<string, Map<string, Known<Reservation>>>();
  /** By pool, then by first address. */
  readonly #blocks = new Map<string, Map<bigint, Known<BlockRecord>>>();
  readonly #listeners = new Set<(key: string) => void>();
  readonly #cache: ViewCache | undefined;
  #revision = 0;

  /** Of a store that is silent the view is what `cache` has of an earlier time, until the store answers. */
  static async open(
    store: Store,
    {
      clock,
      logger,
      signal,
      cache,
    }: { clock: Clock; logger: Logger; signal: AbortSignal; cache?: ViewCache | undefined },
  ): Promise<NetworkView> {
    const view = new NetworkView(cache);
    let loaded = true;
    try {
      await view.#load(store, signal);
    } catch (error) {
      const silent = isEruError(error, 'unavailable') || isEruError(error, 'timeout');
      const known = silent && cache !== undefined ? await cache.read() : [];
      if (known.length === 0) throw error;
      logger.warn(
        { err: error },
        'the store is silent: what this node last knew of the network holds until it answers',
      );
      for (const { key, value, revision } of known) view.apply(key, value, revision);
      loaded = false;
    }
    void view.#follow(store, clock, logger, signal, loaded);
    return view;
  }

  private constructor(cache: ViewCache | undefined) {
    this.#cache = cache;
  }

  revisionOf(key: string): number {
    return this.#known.get(key)?.revision ?? 0;
  }

  get<T>(key: string): T | undefined {
    return this.#known.get(key)?.record as T | undefined;
  }

  /** All records below a prefix, by key. */
  list<T>(prefix: string): [string, T][] {
    const found: [string, T][] = [];
    for (const [key, { record }] of this.#known) if (key.startsWith(prefix)) found.push([key, record as T]);
    return found;
  }

  pool(name: string): Pool | undefined {
    return this.#pools.get(name);
  }

  pools(): Iterable<Pool> {
    return this.#pools.values();
  }

  reservation(owner: string, ifname: string): Reservation | undefined {
    return this.#reservations.get(owner)?.get(ifname)?.record;
  }

  /** Of one owner, or of all. */
  reservations(owner?: string): Reservation[] {
    const held = owner === undefined ? [...this.#reservations.values()] : [this.#reservations.get(owner)];
    return held.flatMap((one) => (one === undefined ? [] : [...one.values()].map(({ record }) => record)));
  }

  taken(realm: string): ReadonlyMap<bigint, Known<AddressRecord>> {
    return this.#taken.get(realm) ?? new Map<bigint, Known<AddressRecord>>();
  }

  /** How many addresses of a realm nobody holds any more, so far: what had no room has none while this stays. */
  freed(realm: string): number {
    return this.#freed.get(realm) ?? 0;
  }

  blocks(pool: string): ReadonlyMap<bigint, Known<BlockRecord>> {
    return this.#blocks.get(pool) ?? new Map<bigint, Known<BlockRecord>>();
  }

  /** Calls `changed` with every key that changes, until the answer is called. */
  onChange(changed: (key: string) => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  /** A key as it is at `revision`; what is known from later stays. */
  apply(key: string, value: Uint8Array | undefined, revision: number): void {
    if (revision <= Math.max(this.revisionOf(key), this.#gone.get(key) ?? 0)) return;
    if (value === undefined) {
      this.#known.delete(key);
      if (revision > this.#revision) this.#gone.set(key, revision);
      this.#index(key, undefined);
    } else {
      this.#gone.delete(key);
      const known = { record: decode<unknown>({ key, value }), revision };
      this.#known.set(key, known);
      this.#index(key, known);
    }
    this.#cache?.note(key, value, revision);
    for (const changed of this.#listeners) changed(key);
  }

  #index(key: string, known: Known<unknown> | undefined): void {
    const [, kind = '', parent = '', child = ''] = key.split('/');
    if (kind === 'pools') {
      if (known === undefined) this.#pools.delete(parent);
      else this.#pools.set(parent, compilePool((known.record as { definition: unknown }).definition));
    } else if (kind === 'addresses') {
      const address = known as Known<AddressRecord> | undefined;
      place(this.#taken, parent, addressOfKey(key).value, address);
      if (address?.record.state !== 'held') this.#freed.set(parent, this.freed(parent) + 1);
    } else if (kind === 'reservations')
      place(this.#reservations, parent, child, known as Known<Reservation> | undefined);
    else if (kind === 'blocks')
      place(this.#blocks, parent, addressOfKey(key).value, known as Known<BlockRecord> | undefined);
  }

  async #load(store: Store, signal: AbortSignal): Promise<void> {
    const found = new Map<string, KeyValue>();
    let revision = 0;
    for (let start: string = keys.root, more = true; more;) {
      const page = await store.range({
        start,
        end: `${keys.root.slice(0, -1)}0`,
        limit: pageLimit,
        signal,
        ...(revision > 0 && { revision }),
      });
      for (const kv of page.kvs) found.set(kv.key, kv);
      revision = page.revision;
      more = page.more;
      start = `${page.kvs.at(-1)?.key ?? start}\0`;
    }
    for (const key of this.#known.keys()) if (!found.has(key)) this.apply(key, undefined, revision);
    for (const { key, value, modRevision } of found.values()) this.apply(key, value, modRevision);
    this.#arrive(revision);
  }

  async #follow(store: Store, clock: Clock, logger: Logger, signal: AbortSignal, isLoaded: boolean): Promise<void> {
    let loaded = isLoaded;
    const follow = async (): Promise<void> => {
      if (!loaded) await this.#load(store, signal);
      loaded = true;
      try {
        for await (const { revision, events } of store.watch({
          prefix: keys.root,
          fromRevision: this.#revision + 1,
          signal,
        })) {
          for (const event of events) {
            if (event.type === 'put') this.apply(event.kv.key, event.kv.value, event.kv.modRevision);
            else this.apply(event.key, undefined, event.modRevision);
          }
          this.#arrive(revision);
        }
      } catch (error) {
        if (isEruError(error, 'compacted')) await this.#load(store, signal);
        throw error;
      }
    };
    await retry(follow, {
      clock,
      signal,
      retryable: () => !signal.aborted,
      onRetry: (error) => logger.warn({ err: error }, 'the view of the network lost its watch, and takes it up again'),
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  #arrive(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    for (const [key, gone] of this.#gone) if (gone <= this.#revision) this.#gone.delete(key);
  }
}

function place<Child, T>(
  index: Map<string, Map<Child, Known<T>>>,
  parent: string,
  child: Child,
  known: Known<T> | undefined,
): void {
  const children = index.get(parent);
  if (known !== undefined) {
    if (children === undefined) index.set(parent, new Map([[child, known]]));
    else children.set(child, known);
  } else if (children?.delete(child) === true && children.size === 0) index.delete(parent);
}
