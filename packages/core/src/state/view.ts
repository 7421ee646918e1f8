import { EruError, isEruError, retry, type Clock, type Logger, type Random } from '@eru/kit';
import { Counts, Fleet, type Resources, type Scheduler } from '@eru/scheduler';
import { after, type KeyValue, type Store } from '@eru/store';

import type {
  AuthorityRecord,
  ClaimRecord,
  ClusterRecord,
  CoreRecord,
  ExternalClaimRecord,
  JoinRecord,
  NodeRecord,
  NodeResourcesRecord,
  NodeStatusRecord,
  OperationRecord,
  PodRecord,
  ReleaseRecord,
  RequestRecord,
  Slot,
  SlotsRecord,
  TokenRecord,
  Versioned,
  WorkloadRecord,
  WorkloadStatusRecord,
} from './records.ts';
import { bookedOn } from './booked.ts';
import { ChangeLog } from './change-log.ts';
import { Heartbeats } from './heartbeats.ts';
import { nodeOfSlots, parseName } from './keys.ts';
import { Table } from './table.ts';
import type { Change, Tables } from './tables.ts';

/** Keys read in one page while loading. */
const pageSize = 1000;

/**
 * A complete picture of the cluster in memory, loaded once and kept fresh by one watch over the whole prefix. Every read
 * and every plan is answered from here. It may be a moment behind: it plans, it never decides a takeover, claim or repair.
 */
export class ClusterView implements Tables {
  readonly cluster = new Table<ClusterRecord>('cluster');
  readonly cores = new Table<CoreRecord>('cores/');
  readonly pods = new Table<PodRecord>('pods/');
  readonly nodes = new Table<NodeRecord>('nodes/');
  readonly nodeResources = new Table<NodeResourcesRecord>('node-resources/');
  readonly workloads = new Table<WorkloadRecord>('workloads/');
  readonly claims = new Table<ClaimRecord>('claims/');
  readonly external = new Table<ExternalClaimRecord>('external/');
  readonly releases = new Table<ReleaseRecord>('released/');
  readonly operations = new Table<OperationRecord>('operations/');
  readonly slots = new Table<SlotsRecord>('operations/');
  readonly requests = new Table<RequestRecord>('requests/');
  readonly tokens = new Table<TokenRecord>('tokens/');
  /** One key, whose name is empty. */
  readonly authority = new Table<AuthorityRecord>('authority');
  readonly joins = new Table<JoinRecord>('joins/');
  readonly apps = new Table<{ v: 1 }>('apps/');
  readonly nodeStatuses = new Table<NodeStatusRecord>('status/nodes/');
  readonly workloadStatuses = new Table<WorkloadStatusRecord>('status/workloads/');

  readonly fleet: Fleet;
  readonly heartbeats: Heartbeats;
  /** What has changed, in the store's order. */
  readonly log = new ChangeLog();
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #workloadsByNode = new Map<string, Set<string>>();
  readonly #slotsByNode = new Map<string, Set<string>>();
  /** `app/entrypoint` -> node -> records and slots not yet recorded. */
  readonly #counts = new Map<string, Counts>();
  #revision = 0;
  readonly #silentAfterMs: number;
  readonly #onLag: (ms: number) => void;
  /** Monotonic time as of which everything is known here. */
  #knownAtMs = 0;
  /** The watch stands; what it has to tell is told. */
  #follows = false;
  /** The newest write of this core that the watch has not told yet, and since when the oldest such is missing. */
  #owed: { revision: number; sinceMs: number } | undefined;

  constructor(options: {
    store: Store;
    scheduler: Scheduler;
    clock: Clock;
    random: Random;
    logger: Logger;
    /** A picture that is older than this is said to be old. */
    silentAfterMs: number;
    /** Told how long a write of this core took to come back. */
    onLag: (ms: number) => void;
  }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
    this.#silentAfterMs = options.silentAfterMs;
    this.#onLag = options.onLag;
    this.fleet = new Fleet(options.scheduler);
    this.heartbeats = new Heartbeats(this, options.clock);
    this.heartbeats.subscribe(() => this.log.nudge());
  }

  /** The store's revision up to which everything is known. */
  get revision(): number {
    return this.#revision;
  }

  /** How old this picture is at most, in milliseconds: every change before that is in it. */
  get ageMs(): number {
    return this.#clock.monotonic() - this.#knownAtMs;
  }

  /** The age when it is worth telling a reader. */
  get oldMs(): number | undefined {
    return this.ageMs > this.#silentAfterMs ? this.ageMs : undefined;
  }

  /**
   * The store has answered a request that was sent at this time. While the watch owes nothing, there was nothing to tell
   * that is not known here.
   */
  confirm(sentAtMs: number): void {
    if (this.#follows && this.#owed === undefined) this.#known(sentAtMs);
  }

  /** This core has written: the watch must tell it, too. */
  owe(revision: number): void {
    if (revision <= this.#revision) return this.#onLag(0); // it came before the answer
    const sinceMs = this.#owed?.sinceMs ?? this.#clock.monotonic();
    this.#owed = { revision: Math.max(revision, this.#owed?.revision ?? 0), sinceMs };
  }

  /** Loads everything, then follows the store until `signal` aborts. Resolves when loaded. */
  async start(signal: AbortSignal): Promise<void> {
    const retryable = (error: unknown): boolean => isEruError(error, 'unavailable') || isEruError(error, 'timeout');
    const again = { signal, clock: this.#clock, random: this.#random, retryable };
    await retry(() => this.#load(signal), again);
    void this.#follow(signal);
  }

  /** Told of every change, after it is in the view; returns the way to stop. */
  subscribe(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves with the first defined answer of `look`, which is asked now and after every change. */
  until<T>(look: () => T | undefined, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const check = (): boolean => {
        const found = look();
        if (found === undefined) return false;
        stop();
        resolve(found);
        return true;
      };
      const onAbort = (): void => {
        stop();
        reject(EruError.from(signal.reason));
      };
      let unsubscribe = (): void => {};
      const stop = (): void => {
        unsubscribe();
        signal.removeEventListener('abort', onAbort);
      };
      if (signal.aborted) return onAbort();
      if (check()) return;
      unsubscribe = this.subscribe(check);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  workloadsOn(node: string): WorkloadRecord[] {
    const ids = [...(this.#workloadsByNode.get(node) ?? [])].toSorted();
    return ids.flatMap((id) => this.workloads.get(id)?.value ?? []);
  }

  workloadCount(node: string): number {
    return this.#workloadsByNode.get(node)?.size ?? 0;
  }

  /** Slots of all operations in flight on a node. */
  slotsOn(node: string): Slot[] {
    return [...(this.#slotsByNode.get(node) ?? [])].flatMap((key) => this.slots.get(key)?.value.slots ?? []);
  }

  /** Workloads of an entrypoint by node, those in flight included. */
  counts(app: string, entrypoint: string): ReadonlyMap<string, number> {
    return this.#counts.get(`${app}/${entrypoint}`) ?? new Map();
  }

  /** What is booked on each node, or on one, as far as is known here. */
  booked(node?: string): Map<string, Resources[]> {
    return bookedOn({
      workloads: node === undefined ? [...this.workloads].map(([, { value }]) => value) : this.workloadsOn(node),
      slots: [...this.slots]
        .map(([key, { value }]) => [nodeOfSlots(key), value] as const)
        .filter(([on]) => node === undefined || on === node),
      operations: [...this.operations].map(([, { value }]) => value),
    });
  }

  /** True when the node reports, or is not checked. */
  isAvailable(node: string): boolean {
    return this.heartbeats.reports(node) || this.nodes.get(node)?.value.test === true;
  }

  isCordoned(node: string): boolean {
    return this.nodeResources.get(node)?.value.cordon === true;
  }

  /** Slot keys of an operation, in key order. */
  slotsOf(operation: string): [string, Versioned<SlotsRecord>][] {
    return [...this.slots]
      .filter(([name]) => name.startsWith(`${operation}/`))
      .toSorted(([a], [b]) => (a < b ? -1 : 1));
  }

  /**
   * What a transaction has written or read, ahead of the watch. Its answer may also come late: what the watch has passed
   * is old news, and may be deleted by now.
   */
  applyWrites(kvs: readonly KeyValue[], deleted: readonly string[], revision: number): void {
    for (const kv of kvs) if (kv.modRevision > this.#revision) this.#put(kv);
    if (revision > this.#revision) for (const key of deleted) this.#delete(key, revision);
  }

  async #load(signal: AbortSignal): Promise<void> {
    const seen = new Set<string>();
    let start = '\0';
    let revision: number | undefined;
    for (;;) {
      const page = await this.#store.range({
        start,
        end: '\u{10ffff}',
        limit: pageSize,
        signal,
        ...(revision !== undefined && { revision }),
      });
      if (revision === undefined) this.#listen();
      revision = page.revision;
      for (const kv of page.kvs) {
        seen.add(kv.key);
        this.#put(kv);
      }
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      start = after(last.key);
    }
    // What a gap has hidden: keys that are gone by now.
    for (const table of this.#tables()) {
      for (const name of table.names()) {
        const entry = table.get(name);
        if (entry === undefined) continue;
        if (!seen.has(table.prefix + name) && entry.modRevision <= revision)
          this.#delete(table.prefix + name, revision);
      }
    }
    this.log.restart(revision);
    this.#heard(revision);
    this.#follows = true;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, random } = { clock: this.#clock, random: this.#random };
    while (!signal.aborted) {
      try {
        for await (const batch of this.#store.watch({ prefix: '', fromRevision: this.#revision + 1, signal })) {
          this.#listen();
          for (const event of batch.events) {
            if (event.type === 'put') this.#put(event.kv);
            else this.#delete(event.key, event.modRevision);
          }
          this.log.append(batch);
          this.#heard(batch.revision);
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#follows = false;
        this.#logger.warn({ err: error }, 'the watch of the store broke; reading everything again');
        if (!isEruError(error, 'compacted')) await clock.sleep(200 + random.int(300), signal).catch(() => {});
        await retry(() => this.#load(signal), { signal, clock, random }).catch(() => {});
      }
    }
  }

  /** Before what has come is looked at: what lapsed in a silence is no news of its own. */
  #listen(): void {
    if (this.#revision > 0 && this.oldMs !== undefined) this.heartbeats.returned();
  }

  #known(atMs: number): void {
    this.#listen();
    this.#knownAtMs = Math.max(this.#knownAtMs, atMs);
  }

  #heard(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    this.#known(this.#clock.monotonic());
    if (this.#owed !== undefined && this.#owed.revision <= this.#revision) {
      this.#onLag(this.#clock.monotonic() - this.#owed.sinceMs);
      this.#owed = undefined;
    }
    for (const table of this.#tables()) table.forget(this.#revision);
  }

  #tables(): Table<unknown>[] {
    return Object.values(this).filter((field) => field instanceof Table);
  }

  /** The table of a key. Operations and their slots share a prefix: a slot key has two more parts. */
  #route(key: string): { table: keyof Tables; rows: Table<unknown> } | undefined {
    const [top, second, third] = key.split('/', 3);
    const table = ((): keyof Tables | undefined => {
      if (top === 'operations') return third === undefined ? 'operations' : 'slots';
      if (top === 'status') return second === 'nodes' ? 'nodeStatuses' : 'workloadStatuses';
      return topLevel[top ?? ''];
    })();
    // Unknown keys belong to a newer core.
    return table === undefined ? undefined : { table, rows: this[table] };
  }

  #put(kv: KeyValue): void {
    const route = this.#route(kv.key);
    const change = route?.rows.put(kv);
    if (route !== undefined && change)
      this.#changed({ table: route.table, name: kv.key.slice(route.rows.prefix.length), ...change });
  }

  #delete(key: string, modRevision: number): void {
    const route = this.#route(key);
    const change = route?.rows.delete(key, modRevision);
    if (route !== undefined && change)
      this.#changed({ table: route.table, name: key.slice(route.rows.prefix.length), ...change, after: undefined });
  }

  #changed(change: Change): void {
    this.#index(change);
    this.heartbeats.changed(change);
    for (const listener of this.#listeners) listener(change);
  }

  #index({ table, name, before, after: now }: Change): void {
    if (table === 'workloads') {
      this.#indexWorkload(before?.value as WorkloadRecord | undefined, -1);
      this.#indexWorkload(now?.value as WorkloadRecord | undefined, 1);
    } else if (table === 'slots') {
      const node = nodeOfSlots(name);
      const onNode = this.#slotsByNode.get(node) ?? new Set<string>();
      if (now === undefined) onNode.delete(name);
      else onNode.add(name);
      if (onNode.size === 0) this.#slotsByNode.delete(node);
      else this.#slotsByNode.set(node, onNode);
      this.#indexSlots(node, before?.value as SlotsRecord | undefined, -1);
      this.#indexSlots(node, now?.value as SlotsRecord | undefined, 1);
    } else if (table === 'nodes' || table === 'nodeResources') {
      const node = this.nodes.get(name)?.value;
      const resources = this.nodeResources.get(name)?.value;
      if (node === undefined || resources === undefined) this.fleet.delete(name);
      else this.fleet.set({ name, labels: node.labels, resources });
    }
  }

  #indexWorkload(record: WorkloadRecord | undefined, sign: 1 | -1): void {
    if (record === undefined) return;
    const onNode = this.#workloadsByNode.get(record.node) ?? new Set<string>();
    if (sign === 1) onNode.add(record.id);
    else onNode.delete(record.id);
    if (onNode.size === 0) this.#workloadsByNode.delete(record.node);
    else this.#workloadsByNode.set(record.node, onNode);
    this.#count(record.app, record.entrypoint, record.node, sign);
  }

  #indexSlots(node: string, record: SlotsRecord | undefined, sign: 1 | -1): void {
    for (const slot of record?.slots ?? []) {
      if (slot.recorded) continue;
      const { app, entrypoint } = parseName(slot.name);
      this.#count(app, entrypoint, node, sign);
    }
  }

  #count(app: string, entrypoint: string, node: string, add: number): void {
    const key = `${app}/${entrypoint}`;
    const byNode = this.#counts.get(key) ?? new Counts();
    const count = (byNode.get(node) ?? 0) + add;
    if (count === 0) byNode.delete(node);
    else byNode.set(node, count);
    if (byNode.size === 0) this.#counts.delete(key);
    else this.#counts.set(key, byNode);
  }
}

const topLevel: Readonly<Record<string, keyof Tables>> = {
  cluster: 'cluster',
  cores: 'cores',
  pods: 'pods',
  nodes: 'nodes',
  'node-resources': 'nodeResources',
  workloads: 'workloads',
  claims: 'claims',
  external: 'external',
  authority: 'authority',
  joins: 'joins',
  released: 'releases',
  requests: 'requests',
  tokens: 'tokens',
  apps: 'apps',
};
