import type { WorkloadState } from '@eru/engines';
import { labelNames } from '@eru/engines';
import type { Resources, Scheduler } from '@eru/scheduler';
import { after, type KeyValue, type Store } from '@eru/store';

import {
  decode,
  type ClaimRecord,
  type NodeResourcesRecord,
  type OperationRecord,
  type SlotsRecord,
  type WorkloadRecord,
} from './records.ts';

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

/** What is booked on each node by records and by slots that are not recorded yet. */
export function bookedByNode({ kvs }: Snapshot): Map<string, Resources[]> {
  const booked = new Map<string, Resources[]>();
  const add = (node: string, resources: Resources): void => {
    booked.set(node, [...(booked.get(node) ?? []), resources]);
  };
  for (const record of values<WorkloadRecord>(kvs, 'workloads/')) add(record.node, record.resources);
  for (const [key, kv] of kvs) {
    const node = slotNode(key);
    if (node === undefined) continue;
    for (const slot of decode<SlotsRecord>(kv.value).slots) if (!slot.recorded) add(node, slot.resources);
  }
  return booked;
}

/**
 * The invariants of operations.md that one revision can show, as sentences about what breaks them. 1: usage is the sum of
 * what is booked, and within capacity. 4: a claim belongs to an operation. With `atRest`, 6: nothing is in flight.
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
  for (const [key, kv] of kvs) {
    if (!key.startsWith('claims/')) continue;
    const { operation } = decode<ClaimRecord>(kv.value);
    if (!kvs.has(`operations/${operation}`)) broken.push(`${key} belongs to operation ${operation}, which is gone`);
  }
  for (const key of kvs.keys()) {
    if (key.startsWith('status/workloads/') && !kvs.has(`workloads/${key.slice('status/workloads/'.length)}`))
      broken.push(`${key} has no record`);
    if (options.atRest && /^(operations|claims)\//.test(key)) broken.push(`${key} is left at rest`);
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

function values<T extends WorkloadRecord | OperationRecord>(kvs: Snapshot['kvs'], prefix: string): T[] {
  return [...kvs].filter(([key]) => key.startsWith(prefix)).map(([, kv]) => decode<T>(kv.value));
}
