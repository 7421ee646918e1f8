/**
 * A key-value store with revisions, transactions, watches and leases. The meaning is etcd's v3: one revision for the
 * whole store, raised by one in every transaction that writes; an identical put is still a revision and an event; keys are
 * ordered by their bytes, 1 to 1024 of UTF-8. There are no locks: claims and fences are transactions.
 *
 * Errors (EruError): `unavailable` (no answer; a write may or may not have happened), `timeout`, `compacted` (that
 * revision is gone), `too_large` (over a limit of `limits`), `not_found` (a lease that is gone), `invalid`, `canceled`,
 * `failed` (the disk is full or broken). After `unavailable` and `timeout` of a transaction only its own keys can tell
 * whether it happened; the store never sends one twice.
 */
export interface Store {
  /** What one transaction can hold. Found from the backend where it tells, never silently split. */
  readonly limits: StoreLimits;

  get(key: string, options?: ReadOptions): Promise<KeyValue | undefined>;

  /** Keys in order. `more` is true when `limit` cut the answer: go on from `after(last key)` at the same revision. */
  range(range: RangeOptions): Promise<RangeResult>;

  /** All of `then` if all of `compare` hold, else all of `otherwise`, atomically. Resolves only when it is on disk. */
  txn(txn: Txn): Promise<TxnResult>;

  /**
   * Every change of the range from `fromRevision` on (default: after now), in order, batched by revision, without gap
   * or repeat, over any number of reconnects. A batch's revision means: everything of the range up to here has been told. The
   * first item is an empty batch that tells that the watch stands, and from where; later empty batches are progress marks. Throws `compacted` when the revisions wanted are gone: list again,
   * then watch from the list's revision + 1. Ends when `signal` aborts or the store closes.
   */
  watch(watch: WatchOptions): AsyncIterable<WatchBatch>;

  /** A lease of `ttlMs` (whole seconds at least 1 on etcd). Keys put under it go with it. */
  grantLease(ttlMs: number): Promise<Lease>;
  /** Prolongs it. `not_found` when it has ended. Resolves with the remaining life that the store grants. */
  renewLease(id: string): Promise<{ ttlMs: number }>;
  /** Ends it now and deletes its keys. Ending a lease that is gone is no error. */
  revokeLease(id: string): Promise<void>;

  /** Forgets versions older than `revision`; watches and reads from before it get `compacted`. */
  compact(revision: number): Promise<void>;

  close(): Promise<void>;
}

export interface StoreLimits {
  /** Compares, or operations of one branch, in one transaction. */
  txnOperations: number;
  /** Bytes of one request. */
  txnBytes: number;
}

export interface KeyValue {
  key: string;
  value: Uint8Array;
  createRevision: number;
  modRevision: number;
  /** 1 at creation, raised by each put. */
  version: number;
  /** The lease it hangs on, or undefined. */
  lease: string | undefined;
}

export interface ReadOptions {
  /** Reads as of this revision; the newest when absent. */
  revision?: number;
  signal?: AbortSignal;
}

/** One key, all keys with a prefix, or [start, end). */
export type KeyRange = { key: string } | { prefix: string } | { start: string; end: string };

export type RangeOptions = KeyRange & ReadOptions & { limit?: number; keysOnly?: boolean };

export interface RangeResult {
  kvs: KeyValue[];
  more: boolean;
  /** The revision of the store at which this is the truth: the one that was asked for, else the newest. */
  revision: number;
}

/** A key that does not exist has create, mod revision and version 0. */
export type Compare =
  | { key: string; target: 'create' | 'mod' | 'version'; op: '=' | '!=' | '<' | '>'; value: number }
  | { key: string; target: 'value'; op: '=' | '!='; value: Uint8Array };

export type TxnOp =
  | { op: 'put'; key: string; value: Uint8Array; lease?: string }
  | { op: 'delete'; range: KeyRange }
  | { op: 'get'; range: KeyRange; limit?: number; keysOnly?: boolean };

export interface Txn {
  compare?: readonly Compare[];
  then: readonly TxnOp[];
  otherwise?: readonly TxnOp[];
  signal?: AbortSignal;
}

export type TxnOpResult =
  | { op: 'put' }
  | { op: 'delete'; deleted: number }
  | { op: 'get'; kvs: KeyValue[]; more: boolean };

export interface TxnResult {
  succeeded: boolean;
  /** The revision after this transaction; its own writes carry it. */
  revision: number;
  /** One for each operation of the branch that ran. */
  results: TxnOpResult[];
}

export type WatchOptions = KeyRange & { fromRevision?: number; signal?: AbortSignal };

export interface WatchBatch {
  revision: number;
  events: StoreEvent[];
}

export type StoreEvent = { type: 'put'; kv: KeyValue } | { type: 'delete'; key: string; modRevision: number };

export interface Lease {
  id: string;
  ttlMs: number;
}

/** The key after `key` and before any other: where to go on with a cut range. */
export function after(key: string): string {
  return `${key}\0`;
}
