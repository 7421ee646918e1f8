import { isJsonObject, type Json } from '@eru/kit';
import type { IoLimit, RunState, WorkloadSpec } from '@eru/engines';
import type { Allocation, NodeResources, Resources, Strategy } from '@eru/scheduler';
import type { KeyValue } from '@eru/store';

/**
 * What the store's values hold: JSON with a version, small enough to read by eye (`eru store dump`). A value is
 * changed by spreading the one that was read, so that fields written by a newer core are kept.
 */
export interface ClusterRecord {
  v: 1;
  id: string;
}

export interface CoreRecord {
  v: 1;
  address: string;
  version: string;
}

export interface PodRecord {
  v: 1;
  name: string;
  desc: string;
}

export interface NodeRecord {
  v: 1;
  name: string;
  pod: string;
  endpoint: string;
  /** The type that its engine told when the node was added. */
  engine: string;
  labels: Record<string, string>;
  /** Not checked for heartbeats. */
  test: boolean;
  ca: string;
  cert: string;
  key: string;
  /** Of a machine that has joined: fingerprints (SHA-256, `AB:CD:…`) of what it may show, and nothing else. */
  certificates?: string[];
}

/** PEM texts. Who has the key is the cluster's owner: it is never shown. */
export interface AuthorityRecord {
  v: 1;
  cert: string;
  key: string;
}

/** A machine that shows the secret may join as this node. */
export interface JoinRecord {
  v: 1;
  node: string;
  /** Of the new node; empty = the node is there, and its machine joins anew. */
  pod: string;
  /** SHA-256 of the secret, hex. */
  hash: string;
  expiresAtMs: number;
  /** SHA-256 of the public key that has used it, hex: it may ask again, for an answer that was lost. */
  usedBy?: string;
}

/** One value, so that a booking, a change of capacity and a cordon exclude each other. */
export interface NodeResourcesRecord extends NodeResources {
  v: 1;
  /** `bypass` on the wire: nothing new is planned here. */
  cordon: boolean;
}

export interface HookRecord {
  afterStart: string[];
  beforeStop: string[];
  force: boolean;
}

export interface WorkloadRecord {
  v: 1;
  id: string;
  name: string;
  app: string;
  entrypoint: string;
  pod: string;
  node: string;
  engine: string;
  image: string;
  user: string;
  privileged: boolean;
  /** Only what the request asked for, without the variables that core adds. */
  env: string[];
  labels: Record<string, string>;
  publish: string[];
  /** Named ports and what the node chose for them. */
  ports: Record<string, number>;
  hook: HookRecord | null;
  resources: Resources;
  engineParams: Resources;
  createdAtMs: number;
  operation: string;
  /** When two rounds of the reconciler had missed it; absent while it is seen. */
  vanishedAtMs?: number;
}

/** Dissociated: its object is left alone. */
export interface ReleaseRecord {
  v: 1;
  name: string;
  node: string;
}

export interface ClaimRecord {
  v: 1;
  operation: string;
}

/** `owner` is null where a kind has failed: what it has booked on the node has to be settled first. */
export interface ExternalClaimRecord {
  v: 1;
  owner: Owner | null;
}

export interface Owner {
  core: string;
  /** Create revision of `cores/<core>` under which the operation was begun or taken over. */
  epoch: number;
}

/** The part that every operation has. */
interface OperationBase {
  v: 1;
  id: string;
  owner: Owner;
  createdAtMs: number;
  /** Name in `requests/` of its idempotency key; empty = none. */
  key: string;
  /** What each takeover found and did, the last few. */
  takeovers?: TakeoverNote[];
}

export interface TakeoverNote {
  /** The dead owner. */
  from: string;
  by: string;
  atMs: number;
  /** For people: the steps it found, what it does with them, and whether hooks may have run. */
  did: string;
}

export interface CreateOperation extends OperationBase {
  kind: 'create' | 'lambda';
  state: 'reserving' | 'running' | 'undoing';
  app: string;
  entrypoint: string;
  pod: string;
  strategy: Strategy;
  count: number;
  /** Nobody waits for it: a takeover finishes it. Absent: it undoes what has not started. */
  request?: StoredRequest;
  /** Lambda: when what still runs is removed; 0 = never. */
  deadlineMs?: number;
}

/** What a takeover needs to go on with a create: everything but files, which are not stored. */
export interface StoredRequest {
  template: Omit<WorkloadSpec, 'name' | 'labels' | 'env' | 'engineParams' | 'succeeds' | 'rawArgs' | 'engine'> & {
    /** Absent where the core that wrote it knew of no choice. */
    engine?: string;
  };
  /** base64 */
  rawArgs: string;
  env: string[];
  labels: Record<string, string>;
  meta: string;
  hook: HookRecord | null;
  afterCreate: string[];
  ignoreHook: boolean;
}

/** An operation on one workload, which it claims; its steps are a table of `transitions.ts`. */
interface WorkloadOperation extends OperationBase {
  workload: string;
  /** For people, after the record is gone. */
  name: string;
  node: string;
  step: string;
  /** Steps of hooks that have begun: they are never run again. */
  hooks?: string[];
  /** Why it is undone, from the transaction on that decides so: a core that takes it over ends it with the same result. */
  refusal?: string;
  /** What workloads hold on the node instead of what their records say, by id. */
  held?: Record<string, Resources>;
}

export interface RemoveOperation extends WorkloadOperation {
  kind: 'remove';
  force: boolean;
  /** Stop first, with the hooks: the full flow. */
  stop: boolean;
  graceMs: number | null;
}

export type ControlType = 'start' | 'stop' | 'restart' | 'suspend' | 'resume' | 'limits';

export interface ControlOperation extends WorkloadOperation {
  kind: 'control';
  type: ControlType;
  force: boolean;
}

export interface DissociateOperation extends WorkloadOperation {
  kind: 'dissociate';
}

export interface ReallocOperation extends WorkloadOperation {
  kind: 'realloc';
  /** Increments, kind -> request. */
  request: Resources;
  /** What it had before, once the new is booked. */
  old?: Allocation;
}

export interface ReplaceOperation extends WorkloadOperation {
  kind: 'replace';
  /** The new one is started before the old one is stopped. */
  overlap: boolean;
  /** The old one is started again when the new one fails. */
  wasRunning: boolean;
  ignoreHook: boolean;
  /** How long the new one may take to be healthy; 0 = no gate. */
  gateMs: number;
}

/** Something is done to a workload that its record does not speak of: a file is put in, its networks change, its engine does what only it knows. */
export interface WorkOperation extends WorkloadOperation {
  kind: 'send' | 'raw' | 'network';
  /** For people: what is put in or done. */
  what: string;
}

/** Several replaces as one: what is left of the list when its core dies is gone on with by another. */
export interface RollOperation extends OperationBase {
  kind: 'roll';
  app: string;
  entrypoint: string;
  /** At a time. */
  window: number;
  items: RollItem[];
  replace: StoredReplace;
}

export interface RollItem {
  /** The old one. */
  id: string;
  name: string;
  node: string;
  step: 'waiting' | 'replacing' | 'end';
  /** How often its replace has been begun before: each has an idempotency key of its own. */
  attempt: number;
  /** The new one, once it has taken the old one's place. */
  made?: { id: string; name: string };
  /** Why the old one is still there; empty = it is not, or nothing is known yet. */
  error: string;
  /** It was not begun. */
  skipped?: true;
}

/** What another core needs to go on with a roll. */
export interface StoredReplace {
  /** Absent when there are files, which are not stored: then nobody else begins another. */
  instance?: StoredRequest & { ignorePull: boolean };
  inheritNetworks: boolean;
  copy: Record<string, string>;
  overlap?: Resources;
  gateMs: number;
}

/** Those that claim one workload. */
export type ClaimedOperation =
  | RemoveOperation
  | ControlOperation
  | DissociateOperation
  | ReallocOperation
  | ReplaceOperation
  | WorkOperation;

export type OperationRecord = CreateOperation | RollOperation | ClaimedOperation;

export type SlotStep = 'reserved' | 'recorded' | 'hooking' | 'waiting' | 'undoing';

/** One new instance of an operation that is not finished. Its resources are booked; from `recorded` on the record counts them. */
export interface Slot {
  name: string;
  /** 0-based over the whole request. */
  sequence: number;
  step: SlotStep;
  /** The engine's id, once recorded. */
  id: string;
  /** True from the moment the record exists, also while undoing. */
  recorded: boolean;
  resources: Resources;
  engineParams: Resources;
  /** What was asked of external kinds, kind -> request, which have not booked it yet. */
  external?: Resources;
}

export interface SlotsRecord {
  v: 1;
  slots: Slot[];
}

/** One idempotency key, one operation. */
export interface RequestRecord {
  v: 1;
  operation: string;
  /** Of the request, to tell a repetition from another request under the same key. */
  digest: string;
  /** What has become of single instances so far, where no record tells it. */
  failures: Outcome[];
  /** Everything, once the operation has ended; the key then hangs on a lease. */
  result: Outcome[] | null;
}

/** What the client is told of one workload. */
export interface Outcome {
  name: string;
  node: string;
  /** Empty when it failed. */
  id: string;
  /** Empty when it did not. */
  error: string;
  /** Output of hooks, the beginning of it. */
  hook: string;
  /** Of a roll: what it was to take the place of. */
  old?: { id: string; name: string };
  skipped?: true;
}

/** Whoever shows the secret may do what the role says. */
export interface TokenRecord {
  v: 1;
  name: string;
  role: Role;
  /** SHA-256 of the secret, hex: what is stored does not let anybody in. */
  hash: string;
  createdAtMs: number;
  /** Absent = never. */
  expiresAtMs?: number;
}

/** Each may do what those before it may. */
export const roles = ['read', 'operate', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface NodeStatusRecord {
  v: 1;
  ttlMs: number;
}

export interface WorkloadStatusRecord {
  v: 1;
  running: boolean;
  healthy: boolean;
  /** Network name -> address, or one of each family with a comma. */
  networks: Record<string, string>;
  /** base64 */
  extension: string;
  /** Life of the lease that it hangs on; absent = for ever. */
  ttlMs?: number;
  /** The rest comes from our own agents only. */
  run?: RunRecord;
}

export interface RunRecord {
  state: RunState | '';
  reason: string;
  exitCode: number;
  oomKilled: boolean;
  restarts: number;
  startedAtMs: number;
  finishedAtMs: number;
  ports: Record<string, number>;
  effective: { cpu?: number; memoryBytes?: number; pids?: number; cpuset?: number[]; io?: IoLimit[] };
  error: string;
}

const utf8 = new TextEncoder();
const text = new TextDecoder();

export function encode(value: object): Uint8Array {
  return utf8.encode(JSON.stringify(value));
}

/** The record in a value. Records are ours alone, so a value that is no object is a bug, not input. */
export function decode<T>(value: Uint8Array): T {
  return JSON.parse(text.decode(value)) as T;
}

/** A record and the revisions it was read at. */
export interface Versioned<T> {
  value: T;
  createRevision: number;
  modRevision: number;
  lease: string | undefined;
}

export function versioned<T>(kv: KeyValue): Versioned<T> {
  return {
    value: decode<T>(kv.value),
    createRevision: kv.createRevision,
    modRevision: kv.modRevision,
    lease: kv.lease,
  };
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Masks what must not be shown. */
export function redact(value: Json): Json {
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      typeof inner === 'string' && inner.includes('PRIVATE KEY') ? '***' : redact(inner),
    ]),
  );
}
