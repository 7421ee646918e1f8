import type { MessageInitShape, pb } from '@eru/contract';

import { noSuchNode, noSuchWorkload } from '../absent.ts';
import type { NodeStatusRecord, WorkloadRecord } from '../records.ts';
import type { Change, ClusterView } from '../view.ts';
import { matches } from './candidates.ts';
import { Latest } from './latest.ts';
import { shownStatus, statusMessage, workloadMessage } from './workload-wire.ts';

type NodeEvent = MessageInitShape<typeof pb.NodeStatusStreamMessageSchema>;
type WorkloadEvent = MessageInitShape<typeof pb.WorkloadStatusStreamMessageSchema>;

/** Names that wait for one slow client; past that it has to subscribe anew. */
const backlog = 100_000;

/** Heartbeats that appear, change their life, expire or are removed; never plain renewals. No snapshot. */
export async function* nodeEvents(view: ClusterView, over: AbortSignal): AsyncIterable<NodeEvent> {
  const changed = new Latest<NodeEvent>(backlog);
  const unsubscribe = view.subscribe((change) => {
    const event = nodeEvent(view, change);
    if (event !== undefined) changed.set(change.name, event);
  });
  yield* until(changed, over, unsubscribe);
}

function nodeEvent(view: ClusterView, { table, name, before, after }: Change): NodeEvent | undefined {
  const gone = (): NodeEvent => ({ nodename: name, alive: false, error: noSuchNode(name).message });
  // A node that is removed is told once, whether it had a heartbeat or not.
  if (table === 'nodes') return after === undefined ? gone() : undefined;
  if (table !== 'nodeStatuses') return undefined;
  const pod = view.nodes.get(name)?.value.pod;
  if (after === undefined) return pod === undefined ? undefined : { nodename: name, podname: pod, alive: false };
  if ((before?.value as NodeStatusRecord | undefined)?.ttlMs === (after.value as NodeStatusRecord).ttlMs)
    return undefined;
  return {
    nodename: name,
    podname: pod ?? '',
    alive: true,
    ...(pod === undefined && { error: noSuchNode(name).message }),
  };
}

export interface StatusFilter {
  appname: string;
  entrypoint: string;
  nodename: string;
  labels: Readonly<Record<string, string>>;
}

/** What is known of a changed status when its message is made. */
interface Changed {
  id: string;
  deleted: boolean;
  /** The record, or the last one before it was removed. */
  record: WorkloadRecord;
}

/**
 * Workload statuses as they change. No snapshot. A message is made when the client takes it, from what is true then: a client
 * that lags gets the newest state of each workload. A heartbeat that comes or goes changes what is shown of all workloads of its node.
 */
export async function* workloadEvents(
  view: ClusterView,
  filter: StatusFilter,
  over: AbortSignal,
): AsyncIterable<WorkloadEvent> {
  const changed = new Latest<Changed>(backlog);
  const removed = new Map<string, WorkloadRecord>();
  const tell = (id: string, deleted: boolean): void => {
    const record = view.workloads.get(id)?.value ?? removed.get(id);
    removed.delete(id);
    if (record !== undefined && wanted(record, filter)) changed.set(id, { id, deleted, record });
  };
  const unsubscribe = view.subscribe(({ table, name, before, after }) => {
    if (table === 'workloadStatuses') tell(name, after === undefined);
    else if (table === 'workloads' && after === undefined && view.workloadStatuses.get(name) !== undefined) {
      // Its status goes in the same transaction, and its event needs to know whose it was.
      removed.set(name, before?.value as WorkloadRecord);
    } else if (table === 'nodeStatuses' && (before === undefined) !== (after === undefined)) {
      for (const { id } of view.workloadsOn(name)) if (view.workloadStatuses.get(id) !== undefined) tell(id, false);
    }
  });
  for await (const { id, deleted, record: last } of until(changed, over, unsubscribe)) {
    const record = view.workloads.get(id)?.value;
    if (record === undefined) yield { id, delete: deleted, error: noSuchWorkload(id).message };
    else if (matches(last.labels, filter.labels))
      yield {
        id,
        workload: workloadMessage(view, record),
        status: statusMessage(id, shownStatus(view, record)),
        delete: deleted,
      };
  }
}

/** Hierarchical, as the original's keys: an entrypoint counts only with an app, a node only with an entrypoint. */
export function wanted({ app, entrypoint, node }: WorkloadRecord, filter: StatusFilter): boolean {
  if (filter.appname === '') return true;
  if (app !== filter.appname) return false;
  if (filter.entrypoint === '') return true;
  if (entrypoint !== filter.entrypoint) return false;
  return filter.nodename === '' || node === filter.nodename;
}

/** What changes until the client leaves or this core stops. */
export async function* until<T>(changes: Latest<T>, over: AbortSignal, unsubscribe: () => void): AsyncIterable<T> {
  const end = (): void => changes.end();
  over.addEventListener('abort', end, { once: true });
  if (over.aborted) end();
  try {
    yield* changes;
  } finally {
    over.removeEventListener('abort', end);
    unsubscribe();
  }
}
