import type { WorkloadState } from '@eru/engines';
import { labelNames } from '@eru/engines';
import type { Resources, Scheduler } from '@eru/scheduler';
import { after, type KeyValue, type Store } from '@eru/store';

import { bookedOn } from './state/booked.ts';
import { keys } from './state/keys.ts';
import {
  decode,
  type ClaimRecord,
  type NodeResourcesRecord,
  type OperationRecord,
  type ReleaseRecord,
  type RequestRecord,
  type SlotsRecord,
  type WorkloadRecord,
} from './state/records.ts';

/**
 * What must hold, as code: the invariants of the operations protocol, by number.
 *
 * 1. At every revision, on every node and for every kind: usage is the sum of the records, of the slots that are not recorded
 *    yet and of what operations hold beyond them; and it is within capacity, unless over-commitment is allowed.
 * 2. Every object with our identity has a record, a release or a slot, or is found by the reconciler within two rounds.
 * 3. What a client was told exists has a record and an object until its removal is told, or it vanished. One idempotency key,
 *    one operation.
 * 4. At most one operation holds a claim; at most one living core owns an operation; the writes of a fenced core never appear.
 * 5. While one core, the store and the node's engine live, every operation ends.
 * 6. At rest there are no operations, slots or claims, no statuses without a record, no releases without an object.
 *
 * `checkStore` looks at one revision, `checkObjects` and `checkAcknowledged` at a cluster at rest. What one state cannot show,
 * a fenced core's write (4) and termination (5), the world of `simulation/` and its model look at; at rest, 6 says that all has ended.
 */
interface Invariant {
  number: 1 | 2 | 3 | 4 | 5 | 6;
  name: string;
  /** Only when nothing is in flight. */
  atRest?: true;
  /** Sentences about what breaks it. */
  broken: (at: StoreState) => string[];
}

/** One revision, decoded. */
interface StoreState {
  snapshot: Snapshot;
  kvs: Snapshot['kvs'];
  scheduler: Scheduler;
}

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

const storeInvariants: readonly Invariant[] = [
  {
    number: 1,
    name: 'usage is what is booked',
    broken: ({ snapshot, kvs, scheduler }) => {
      const booked = bookedByNode(snapshot);
      const differences = entries<NodeResourcesRecord>(kvs, 'node-resources/').flatMap(([key, resources]) => {
        const node = nameIn(key);
        const held = booked.get(node) ?? [];
        booked.delete(node);
        return scheduler.diff(resources, held).lines.map((line) => `${node}: ${line}`);
      });
      return [...differences, ...[...booked.keys()].map((node) => `${node} has bookings and no resources`)];
    },
  },
  {
    number: 1,
    name: 'usage is within capacity',
    broken: ({ kvs, scheduler }) =>
      entries<NodeResourcesRecord>(kvs, 'node-resources/').flatMap(([key, resources]) =>
        scheduler.fits(resources).map((line) => `${nameIn(key)}: ${line}`),
      ),
  },
  {
    number: 3,
    name: 'one key, one operation',
    broken: ({ kvs }) => [
      ...entries<RequestRecord>(kvs, 'requests/').flatMap(([key, { operation, result }]) =>
        result === null && !kvs.has(keys.operation(operation))
          ? [`${key} waits for operation ${operation}, which is gone`]
          : [],
      ),
      ...headers(kvs).flatMap(({ id, key }) =>
        key !== '' && value<RequestRecord>(kvs, keys.request(key))?.operation !== id
          ? [`operation ${id} carries the key ${key} of another operation`]
          : [],
      ),
    ],
  },
  {
    number: 4,
    name: 'a claim belongs to a workload and to an operation',
    broken: ({ kvs }) =>
      entries<ClaimRecord>(kvs, 'claims/').flatMap(([key, { operation }]) => [
        ...(kvs.has(keys.operation(operation)) ? [] : [`${key} belongs to operation ${operation}, which is gone`]),
        ...(kvs.has(keys.workload(nameIn(key))) ? [] : [`${key} claims a workload that is gone`]),
      ]),
  },
  {
    number: 4,
    name: 'an operation claims what it changes',
    broken: ({ kvs }) =>
      headers(kvs).flatMap((operation) => {
        const changed = 'workload' in operation ? [operation.workload, ...Object.keys(operation.held ?? {})] : [];
        return changed
          .filter((id) => value<ClaimRecord>(kvs, keys.claim(id))?.operation !== operation.id)
          .map((id) => `operation ${operation.id} changes ${id} without a claim`);
      }),
  },
  {
    number: 4,
    name: 'a slot belongs to an operation',
    broken: ({ kvs }) =>
      [...kvs.keys()].flatMap((key) => {
        const operation = key.split('/')[1] ?? '';
        return slotNode(key) !== undefined && !kvs.has(keys.operation(operation)) ? [`${key} has no header`] : [];
      }),
  },
  {
    number: 6,
    name: 'a status belongs to a record',
    broken: ({ kvs }) =>
      [...kvs.keys()].flatMap((key) => {
        const id = key.slice(workloadStatuses.length);
        return key.startsWith(workloadStatuses) && !kvs.has(keys.workload(id)) ? [`${key} has no record`] : [];
      }),
  },
  {
    number: 6,
    name: 'nothing is in flight',
    atRest: true,
    broken: ({ kvs }) =>
      [...kvs.keys()]
        .filter((key) => /^(operations|claims|external)\//.test(key))
        .map((key) => `${key} is left at rest`),
  },
];

const workloadStatuses = keys.workloadStatus('');

/** The invariants that one revision can show, as sentences about what breaks them. */
export function checkStore(snapshot: Snapshot, scheduler: Scheduler, options: { atRest: boolean }): string[] {
  return storeInvariants
    .filter(({ atRest }) => options.atRest || atRest === undefined)
    .flatMap(({ number, name, broken }) =>
      broken({ snapshot, kvs: snapshot.kvs, scheduler }).map((sentence) => `${number}, ${name}: ${sentence}`),
    );
}

/** 2, 3 and 6 at rest: objects with our identity are what records and releases say, and the other way round. */
export function checkObjects({ kvs }: Snapshot, objects: readonly WorkloadState[], cluster: string): string[] {
  const ours = new Map(
    objects.filter(({ labels }) => labels[labelNames.cluster] === cluster).map((object) => [object.id, object]),
  );
  const broken: string[] = [];
  for (const record of values<WorkloadRecord>(kvs, 'workloads/')) {
    const object = ours.get(record.id);
    if (object === undefined) broken.push(`3, what is recorded exists: ${record.name} has a record and no object`);
    else if (object.name !== record.name)
      broken.push(
        `3, what is recorded exists: ${record.id} is ${object.name} on the engine, ${record.name} in the store`,
      );
    if (kvs.has(keys.release(record.id)))
      broken.push(`2, what is released is let go: ${record.name} is released and has a record`);
  }
  for (const { id, name } of ours.values()) {
    if (!kvs.has(keys.workload(id)) && !kvs.has(keys.release(id)))
      broken.push(`2, every object is accounted for: ${name} has an object, no record and no release`);
  }
  for (const [key, { name }] of entries<ReleaseRecord>(kvs, 'released/')) {
    if (!ours.has(nameIn(key))) broken.push(`6, a release belongs to an object: ${name} is released and has no object`);
  }
  return broken;
}

/** 3: what a client was told exists has a record; that it has an object, too, `checkObjects` sees. */
export function checkAcknowledged({ kvs }: Snapshot, acknowledged: Iterable<string>): string[] {
  return [...acknowledged]
    .filter((id) => !kvs.has(keys.workload(id)))
    .map((id) => `3, what was acknowledged exists: ${id} has no record`);
}

/** The node of a slot key, undefined for other keys. */
export function slotNode(key: string): string | undefined {
  const [top, , node, index] = key.split('/');
  return top === 'operations' && index !== undefined ? node : undefined;
}

/** What stands after the first part of a key. */
function nameIn(key: string): string {
  return key.slice(key.indexOf('/') + 1);
}

function value<T>(kvs: Snapshot['kvs'], key: string): T | undefined {
  const kv = kvs.get(key);
  return kv === undefined ? undefined : decode<T>(kv.value);
}

function entries<T>(kvs: Snapshot['kvs'], prefix: string): [string, T][] {
  return [...kvs].filter(([key]) => key.startsWith(prefix)).map(([key, kv]) => [key, decode<T>(kv.value)]);
}

function values<T>(kvs: Snapshot['kvs'], prefix: string): T[] {
  return [...kvs].filter(([key]) => key.startsWith(prefix)).map(([, kv]) => decode<T>(kv.value));
}
