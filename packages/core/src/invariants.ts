import type { WorkloadState } from '@eru/engines';
import { labelNames } from '@eru/engines';
import type { Resources, Scheduler } from '@eru/scheduler';
import { after, type KeyValue, type Store } from '@eru/store';

import { bookedOn } from './booked.ts';
import {
  decode,
  type ClaimRecord,
  type NodeResourcesRecord,
  type OperationRecord,
  type ReleaseRecord,
  type RequestRecord,
  type SlotsRecord,
  type WorkloadRecord,
} from './records.ts';

/**
 * What must hold, as code: the invariants of operations.md. Tests, storms and the crash sweep check them; at every revision
 * those that one revision can show, at rest all of them.
 */

/** Everything in the store at one revision. */
export interface Snapshot {
  revision: number;
  kvs: ReadonlyMap<string, KeyValue>;
}

export async function snapshot(store: Store): Promise<Snapshot> {
  const kvs = new Map<string, KeyValue>();
  let start = '\0';
  let revision: number | undefined;
  for (;;) {
    const page = await store.range({
      start,
      end: '\u{10ffff}',
      limit: 1000,
      ...(revision !== undefined && { revision }),
    });
    revision = page.revision;
    for (const kv of page.kvs) kvs.set(kv.key, kv);
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return { revision, kvs };
    start = after(last.key);
  }
}

/** What is booked on each node, at one revision. */
export function bookedByNode({ kvs }: Snapshot): Map<string, Resources[]> {
  return bookedOn({
    workloads: values<WorkloadRecord>(kvs, 'workloads/'),
    slots: [...kvs].flatMap(([key, kv]) => {
      const node = slotNode(key);
      return node === undefined ? [] : [[node, decode<SlotsRecord>(kv.value)] as const];
    }),
    operations: headers(kvs),
  });
}

function headers(kvs: Snapshot['kvs']): OperationRecord[] {
  return [...kvs].flatMap(([key, kv]) => (/^operations\/[^/]+$/.test(key) ? [decode<OperationRecord>(kv.value)] : []));
}

/**
 * The invariants of operations.md that one revision can show, as sentences about what breaks them. 1: usage is the sum of
 * what is booked, and within capacity. 3: one key, one operation. 4: a claim belongs to an operation. With `atRest`, 6:
 * nothing is in flight.
 */
export function checkStore(snapshot: Snapshot, scheduler: Scheduler, options: { atRest: boolean }): string[] {
  const { kvs } = snapshot;
  const broken: string[] = [];
  const booked = bookedByNode(snapshot);
  for (const [key, kv] of kvs) {
    if (!key.startsWith('node-resources/')) continue;
    const node = key.slice('node-resources/'.length);
    const resources = decode<NodeResourcesRecord>(kv.value);
    broken.push(...scheduler.diff(resources, booked.get(node) ?? []).lines.map((line) => `${node}: ${line}`));
    broken.push(...scheduler.fits(resources).map((line) => `${node}: ${line}`));
    booked.delete(node);
  }
  for (const node of booked.keys()) broken.push(`${node}: workloads or slots on a node that has no resources`);
  broken.push(...checkClaims(kvs), ...checkOperations(kvs), ...checkRequests(kvs));
  for (const key of kvs.keys()) {
    if (key.startsWith('status/workloads/') && !kvs.has(`workloads/${key.slice('status/workloads/'.length)}`))
      broken.push(`${key} has no record`);
    if (options.atRest && /^(operations|claims)\//.test(key)) broken.push(`${key} is left at rest`);
  }
  return broken;
}

/** 4: what is claimed exists, and its operation does. */
function checkClaims(kvs: Snapshot['kvs']): string[] {
  const broken: string[] = [];
  for (const [key, { operation }] of entries<ClaimRecord>(kvs, 'claims/')) {
    if (!kvs.has(`operations/${operation}`)) broken.push(`${key} belongs to operation ${operation}, which is gone`);
    if (!kvs.has(`workloads/${key.slice('claims/'.length)}`)) broken.push(`${key} claims a workload that is gone`);
  }
  return broken;
}

/** Slots have a header; what an operation holds in place of a record is claimed by it. */
function checkOperations(kvs: Snapshot['kvs']): string[] {
  const broken: string[] = [];
  for (const key of kvs.keys()) {
    if (slotNode(key) !== undefined && !kvs.has(`operations/${key.split('/')[1]}`)) broken.push(`${key} has no header`);
  }
  for (const operation of headers(kvs)) {
    for (const id of 'held' in operation ? Object.keys(operation.held ?? {}) : []) {
      const claim = kvs.get(`claims/${id}`);
      if (claim === undefined || decode<ClaimRecord>(claim.value).operation !== operation.id)
        broken.push(`operation ${operation.id} holds something for ${id} without a claim`);
    }
  }
  return broken;
}

/** 3: a request without a result belongs to the one operation that carries its key, and the other way round. */
function checkRequests(kvs: Snapshot['kvs']): string[] {
  const broken: string[] = [];
  for (const [key, { operation, result }] of entries<RequestRecord>(kvs, 'requests/')) {
    if (result === null && !kvs.has(`operations/${operation}`))
      broken.push(`${key} waits for operation ${operation}, which is gone`);
  }
  for (const { id, key } of headers(kvs)) {
    if (key === '') continue;
    const request = kvs.get(`requests/${key}`);
    if (request === undefined || decode<RequestRecord>(request.value).operation !== id)
      broken.push(`operation ${id} carries the key ${key} of another operation`);
  }
  return broken;
}

/** Invariant 2 (and 3 the other way round) at rest: objects with our identity and records are the same workloads. */
export function checkObjects({ kvs }: Snapshot, objects: readonly WorkloadState[], cluster: string): string[] {
  const ours = new Map(
    objects.filter(({ labels }) => labels[labelNames.cluster] === cluster).map((object) => [object.id, object]),
  );
  const broken: string[] = [];
  for (const record of values<WorkloadRecord>(kvs, 'workloads/')) {
    const object = ours.get(record.id);
    if (object === undefined) broken.push(`${record.name} has a record and no object`);
    else if (object.name !== record.name)
      broken.push(`${record.id} is ${object.name} on the engine and ${record.name} in the store`);
    ours.delete(record.id);
  }
  for (const { id, name } of ours.values())
    if (!kvs.has(`released/${id}`)) broken.push(`${name} has an object and no record`);
  for (const [key, { name }] of entries<ReleaseRecord>(kvs, 'released/')) {
    const id = key.slice('released/'.length);
    if (kvs.has(`workloads/${id}`)) broken.push(`${name} is released and has a record`);
    if (!ours.has(id)) broken.push(`${name} is released and has no object`);
  }
  return broken;
}

/** Invariant 3, first half: what a client was told exists has a record. */
export function checkAcknowledged({ kvs }: Snapshot, acknowledged: Iterable<string>): string[] {
  return [...acknowledged]
    .filter((id) => !kvs.has(`workloads/${id}`))
    .map((id) => `${id} was acknowledged and has no record`);
}

/** The node of a slot key, undefined for other keys. */
export function slotNode(key: string): string | undefined {
  const [top, , node, index] = key.split('/');
  return top === 'operations' && index !== undefined ? node : undefined;
}

function entries<T>(kvs: Snapshot['kvs'], prefix: string): [string, T][] {
  return [...kvs].filter(([key]) => key.startsWith(prefix)).map(([key, kv]) => [key, decode<T>(kv.value)]);
}

function values<T>(kvs: Snapshot['kvs'], prefix: string): T[] {
  return [...kvs].filter(([key]) => key.startsWith(prefix)).map(([, kv]) => decode<T>(kv.value));
}
