import { type eru, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { invalid, toSafeNumber } from '@eru/kit';

import { caughtUp } from '../../catch-up.ts';
import { objectKinds, objectsOf, type ObjectKind, type ObjectName } from '../../state/change-log.ts';
import { keys } from '../../state/keys.ts';
import type { Edge } from '../edge.ts';
import { operationMessage } from './operations.ts';
import { nodeMessage } from '../wire/node.ts';
import { fullWorkload } from '../wire/workload.ts';

type Batch = MessageInitShape<typeof eru.WatchBatchSchema>;
type Change = MessageInitShape<typeof eru.ObjectChangeSchema>;

/** Objects in one message. */
const mostObjects = 500;

/** Snapshot and watch: lists and changes of everything, by the store's revisions. */
export function eruWatchMethods(edge: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    watch: async function* ({ kinds, fromRevision }, { signal }) {
      const wanted = kindsOf(kinds);
      const over = AbortSignal.any([signal, edge.closing]);
      const { view } = edge.context;
      // Nodes that were found to be up or down by the passing of time: that is in no revision of the store.
      const turned = new Set<string>();
      const unsubscribe = view.heartbeats.subscribe((node) => turned.add(node));
      try {
        let cursor = view.log.end;
        if (fromRevision === 0n) yield* list(edge, wanted, cursor);
        else {
          cursor = toSafeNumber(fromRevision, 'from_revision');
          await wantPast(edge, cursor, over);
          for (const node of view.nodes.names()) if (!view.isAvailable(node)) turned.add(node);
          for await (const batch of earlier(edge, cursor, over)) {
            cursor = batch.revision;
            yield* told(edge, wanted, batch.objects, cursor);
          }
        }
        while (!over.aborted) {
          const { revision, objects } = view.log.after(cursor, mostObjects);
          cursor = revision;
          const all = [...objects, ...[...turned].flatMap((node) => withWorkloads(edge, node))];
          turned.clear();
          if (all.length === 0) await view.log.changed(over);
          else yield* told(edge, wanted, all, cursor);
        }
      } finally {
        unsubscribe();
      }
    },
  };
}

function kindsOf(kinds: readonly string[]): ReadonlySet<ObjectKind> {
  const known = kinds.map((kind) => {
    const found = objectKinds.find((one) => one === kind);
    if (found === undefined) throw invalid('kinds', kind, `write some of ${objectKinds.join(', ')}`);
    return found;
  });
  return new Set(known.length === 0 ? objectKinds : known);
}

/** A revision that the store has not reached comes from another store. */
async function wantPast({ context: { view, store } }: Edge, revision: number, signal: AbortSignal): Promise<void> {
  if (revision > 0 && revision <= view.revision) return;
  const { revision: reached } = await store.range({ key: keys.cluster, keysOnly: true, signal });
  if (revision < 1 || revision > reached)
    throw invalid('from_revision', revision, `the store is at ${reached}; write 0 to list first`);
}

/** What has changed before this core began to listen, from the store's own history. */
async function* earlier(
  { context }: Edge,
  revision: number,
  signal: AbortSignal,
): AsyncIterable<{ revision: number; objects: ObjectName[] }> {
  const { store, view } = context;
  if (revision >= view.log.start) return;
  for await (const batch of store.watch({ prefix: '', fromRevision: revision + 1, signal })) {
    await caughtUp(context, batch.events.length === 0 ? 0 : batch.revision, signal);
    yield { revision: Math.max(revision, batch.revision), objects: objectsOf(batch) };
    if (batch.revision >= view.log.start) return;
  }
}

async function* list(edge: Edge, wanted: ReadonlySet<ObjectKind>, revision: number): AsyncIterable<Batch> {
  const { view } = edge.context;
  const names: Record<ObjectKind, () => string[]> = {
    pod: () => view.pods.names(),
    node: () => view.nodes.names(),
    workload: () => view.workloads.names(),
    operation: () => view.operations.names(),
  };
  for (const kind of objectKinds) {
    if (!wanted.has(kind)) continue;
    const all = names[kind]();
    for (let start = 0; start < all.length; start += mostObjects) {
      const part = all.slice(start, start + mostObjects).map((name) => changeOf(edge, { kind, name }));
      // What is gone by now is told as a change below.
      const changes = part.filter(({ object }) => object !== undefined);
      if (changes.length > 0) yield { changes };
    }
  }
  yield { revision: BigInt(revision), listed: true };
}

function* told(
  edge: Edge,
  wanted: ReadonlySet<ObjectKind>,
  objects: readonly ObjectName[],
  revision: number,
): Iterable<Batch> {
  const changes = objects.filter(({ kind }) => wanted.has(kind)).map((object) => changeOf(edge, object));
  if (changes.length > 0) yield { revision: BigInt(revision), changes };
}

/** What is shown of workloads follows from their node. */
function withWorkloads({ context: { view } }: Edge, node: string): ObjectName[] {
  const workloads = view.workloadsOn(node).map(({ id }): ObjectName => ({ kind: 'workload', name: id }));
  return [{ kind: 'node', name: node }, ...workloads];
}

function changeOf(edge: Edge, { kind, name }: ObjectName): Change {
  const object = objectOf(edge, kind, name);
  return object === undefined ? { kind, name } : { kind, name, object };
}

function objectOf({ context: { view }, operations }: Edge, kind: ObjectKind, name: string): Change['object'] {
  switch (kind) {
    case 'pod': {
      const value = view.pods.get(name)?.value;
      return value && { case: 'pod', value: { name, desc: value.desc } };
    }
    case 'node': {
      const value = nodeMessage(view, name);
      return value && { case: 'node', value };
    }
    case 'workload': {
      const record = view.workloads.get(name)?.value;
      return record && { case: 'workload', value: fullWorkload(view, record) };
    }
    case 'operation': {
      const seen = operations.of(name);
      return seen && { case: 'operation', value: operationMessage(view, seen) };
    }
  }
}
