import { create, engine as wire } from '@eru/contract';
import type { MessageInitShape } from '@eru/contract';
import { EruError, isJsonObject, toSafeNumber } from '@eru/kit';
import type { JsonObject } from '@eru/kit';

import type {
  EngineEvent,
  EngineInfo,
  ExitState,
  Limits,
  LogEntry,
  RestartPolicy,
  RunState,
  WorkloadSpec,
  WorkloadState,
} from '../engine.ts';
import { fromIoMessage, toIoMessage } from './io-wire.ts';

/** Values of engine.ts as messages of engine.proto and back: the one place that knows both. `x…` = to the wire. */

const states: readonly RunState[] = ['created', 'running', 'paused', 'restarting', 'exited'];
const policies: readonly RestartPolicy['type'][] = ['no', 'on-failure', 'always', 'unless-stopped'];
const eventTypes: readonly EngineEvent['type'][] = [
  'ready',
  'created',
  'started',
  'exited',
  'paused',
  'resumed',
  'updated',
  'removed',
];

/** Bytes of one message at most; what is longer travels in parts. */
const partBytes = 1024 * 1024;

export function* parts(data: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += partBytes) yield data.subarray(at, at + partBytes);
}

export function toJson(object: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(object));
}

export function fromJson(bytes: Uint8Array, field: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new EruError('invalid', `${field}: not JSON`, { cause });
  }
  if (!isJsonObject(value)) throw new EruError('invalid', `${field}: not a JSON object`);
  return value;
}

export function toJsonMap(objects: Readonly<Record<string, JsonObject>>): Record<string, Uint8Array> {
  return mapped(objects, toJson);
}

export function fromJsonMap(objects: Readonly<Record<string, Uint8Array>>, field: string): Record<string, JsonObject> {
  return mapped(objects, (bytes, key) => fromJson(bytes, `${field}.${key}`));
}

export function toInfo(info: EngineInfo): MessageInitShape<typeof wire.InfoResponseSchema> {
  return {
    ...info,
    memoryBytes: BigInt(info.memoryBytes),
    storageBytes: BigInt(info.storageBytes),
    resources: toJsonMap(info.resources),
  };
}

export function fromInfo(info: wire.InfoResponse): EngineInfo {
  const { type, id, cpus, offers, missing } = info;
  return {
    type,
    id,
    cpus,
    memoryBytes: toSafeNumber(info.memoryBytes),
    storageBytes: toSafeNumber(info.storageBytes),
    resources: fromJsonMap(info.resources, 'resources'),
    offers,
    missing,
  };
}

export function toSpec(spec: WorkloadSpec): MessageInitShape<typeof wire.WorkloadSpecSchema> {
  const { root } = spec;
  return {
    ...spec,
    root:
      root.type === 'host'
        ? { case: 'hostRoot', value: { writable: root.writable } }
        : { case: 'folderRoot', value: { path: root.path, readOnly: root.readOnly } },
    command: [...spec.command],
    env: [...spec.env],
    mounts: spec.mounts.map((mount) => ({ ...mount })),
    ulimits: mapped(spec.ulimits, ({ soft, hard }) =>
      create(wire.UlimitSchema, { soft: BigInt(soft), hard: BigInt(hard) }),
    ),
    publish: [...spec.publish],
    dns: [...spec.dns],
    extraHosts: [...spec.extraHosts],
    engineParams: toJsonMap(spec.engineParams),
  };
}

export function fromSpec(spec: wire.WorkloadSpec): WorkloadSpec {
  const { $typeName: _, $unknown: __, root, restart, log, ...same } = spec;
  return {
    ...same,
    root:
      root.case === 'folderRoot'
        ? { type: 'folder', path: root.value.path, readOnly: root.value.readOnly }
        : { type: 'host', writable: root.case === 'hostRoot' && root.value.writable },
    mounts: spec.mounts.map(({ source, target, readOnly }) => ({ source, target, readOnly })),
    ulimits: mapped(spec.ulimits, ({ soft, hard }) => ({ soft: toSafeNumber(soft), hard: toSafeNumber(hard) })),
    restart: { type: oneOf(restart?.type || 'no', policies, 'restart'), retries: restart?.retries ?? 0 },
    log: { type: log?.type ?? '', config: log?.config ?? {} },
    engineParams: fromJsonMap(spec.engineParams, 'engine_params'),
  };
}

export function toWorkload(state: WorkloadState): MessageInitShape<typeof wire.WorkloadSchema> {
  const { limits, exitCode: _code, oomKilled: _oom, finishedAtMs: _at, error: _error, ...same } = state;
  return {
    ...same,
    createdAtMs: instant(state.createdAtMs),
    startedAtMs: instant(state.startedAtMs),
    exit: toExit(state),
    requested: toLimits(limits.requested),
    effective: toLimits(limits.effective),
    revision: BigInt(state.revision),
  };
}

export function fromWorkload(message: wire.Workload): WorkloadState {
  const { $typeName: _, $unknown: __, exit, requested, effective, ...same } = message;
  return {
    ...same,
    state: oneOf(message.state, states, 'state'),
    createdAtMs: toSafeNumber(message.createdAtMs),
    startedAtMs: toSafeNumber(message.startedAtMs),
    revision: toSafeNumber(message.revision),
    limits: { requested: fromLimits(requested), effective: fromLimits(effective) },
    ...fromExit(exit ?? create(wire.ExitStateSchema)),
  };
}

export function toExit(exit: ExitState): MessageInitShape<typeof wire.ExitStateSchema> {
  const { exitCode, oomKilled, finishedAtMs, error } = exit;
  return { exitCode, oomKilled, finishedAtMs: instant(finishedAtMs), error };
}

export function fromExit({ exitCode, oomKilled, finishedAtMs, error }: wire.ExitState): ExitState {
  return { exitCode, oomKilled, finishedAtMs: toSafeNumber(finishedAtMs), error };
}

function toLimits(limits: Limits): MessageInitShape<typeof wire.LimitsSchema> {
  const { cpu, memoryBytes, pids, cpuset = [], memoryNodes = [], io = [] } = limits;
  return {
    ...(cpu !== undefined && { cpu }),
    ...(memoryBytes !== undefined && { memoryBytes: BigInt(memoryBytes) }),
    ...(pids !== undefined && { pids }),
    cpuset: [...cpuset],
    memoryNodes: [...memoryNodes],
    io: io.map(toIoMessage),
  };
}

function fromLimits(limits: wire.Limits | undefined): Limits {
  if (limits === undefined) return {};
  const { cpu, memoryBytes, pids, cpuset, memoryNodes, io } = limits;
  return {
    ...(cpu !== undefined && { cpu }),
    ...(memoryBytes !== undefined && { memoryBytes: toSafeNumber(memoryBytes) }),
    ...(pids !== undefined && { pids }),
    ...(cpuset.length > 0 && { cpuset }),
    ...(memoryNodes.length > 0 && { memoryNodes }),
    ...(io.length > 0 && { io: io.map(fromIoMessage) }),
  };
}

export function toEvent(event: EngineEvent): MessageInitShape<typeof wire.EventSchema> {
  return event.type === 'ready' ? event : { ...event, atMs: instant(event.atMs) };
}

export function fromEvent({ type, cursor, atMs, id, name }: wire.Event): EngineEvent {
  const known = oneOf(type, eventTypes, 'event type');
  return known === 'ready' ? { type: known, cursor } : { type: known, cursor, atMs: toSafeNumber(atMs), id, name };
}

export function toLogEntry({
  stream,
  atMs,
  data,
  lostBytes = 0,
}: LogEntry): MessageInitShape<typeof wire.LogEntrySchema> {
  return { atMs: instant(atMs), line: { case: stream, value: data }, lostBytes: instant(lostBytes) };
}

export function fromLogEntry({ atMs, line, lostBytes }: wire.LogEntry): LogEntry {
  if (line.case === undefined) throw new EruError('internal', 'a log entry without a line');
  const entry = { stream: line.case, atMs: toSafeNumber(atMs), data: line.value };
  return lostBytes === 0n ? entry : { ...entry, lostBytes: toSafeNumber(lostBytes) };
}

/** Milliseconds as the wire has them: whole. */
export function instant(ms: number): bigint {
  return BigInt(Math.trunc(ms));
}

function oneOf<T extends string>(value: string, allowed: readonly T[], field: string): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined) throw new EruError('invalid', `${field}: ${value} is none of ${allowed.join(', ')}`);
  return found;
}

function mapped<From, To>(
  values: Readonly<Record<string, From>>,
  convert: (value: From, key: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, convert(value, key)]));
}
