import { isJsonObject, type Json } from '@eru/kit';
import type { RunState } from '@eru/engines';
import type { NodeResources, Resources, Strategy } from '@eru/scheduler';
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

export interface ClaimRecord {
  v: 1;
  operation: string;
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
  /** Idempotency key; empty = none. */
  key: string;
}

export interface CreateOperation extends OperationBase {
  kind: 'create';
  state: 'reserving' | 'running' | 'undoing';
  app: string;
  entrypoint: string;
  pod: string;
  strategy: Strategy;
  count: number;
}

export interface RemoveOperation extends OperationBase {
  kind: 'remove';
  /** `trying` may still be refused by the engine; `removing` rolls forward. */
  state: 'trying' | 'removing';
  workload: string;
  force: boolean;
  /** Stop first, with the hooks: the full flow. */
  stop: boolean;
  graceMs: number | null;
  /** Hooks are marked before they run and never run twice. */
  hooks: 'pending' | 'begun';
}

/** `limits` is the reconciler's: it brings the engine's limits to what the record says. */
export type ControlType = 'start' | 'stop' | 'restart' | 'suspend' | 'resume' | 'limits';

export interface ControlOperation extends OperationBase {
  kind: 'control';
  /** A restart is `starting` once its stop is done. */
  state: 'running' | 'starting';
  workload: string;
  type: ControlType;
  force: boolean;
  hooks: 'pending' | 'begun';
}

export type OperationRecord = CreateOperation | RemoveOperation | ControlOperation;

type SlotStep = 'reserved' | 'recorded' | 'hooking' | 'undoing';

/** One instance of a create that is not finished. Its resources are booked; from `recorded` on the record counts them. */
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
}

export interface SlotsRecord {
  v: 1;
  slots: Slot[];
}

export interface RequestRecord {
  v: 1;
  operation: string;
  /** JSON of what the client was told, once the operation has ended. */
  result: Json;
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
  effective: { cpu?: number; memoryBytes?: number; pids?: number; cpuset?: number[] };
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
