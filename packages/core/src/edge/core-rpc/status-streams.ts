import type { MessageInitShape, pb } from '@eru/contract';

import { noSuchNode, noSuchWorkload } from '../../absent.ts';
import type { NodeStatusRecord, WorkloadRecord } from '../../state/records.ts';
import type { ClusterView } from '../../state/view.ts';
import { matches } from '../candidates.ts';
import { Latest } from '../latest.ts';
import { shownStatus, statusMessage, workloadMessage } from '../wire/workload.ts';

type NodeEvent = MessageInitShape<typeof pb.NodeStatusStreamMessageSchema>;
type WorkloadEvent = MessageInitShape<typeof pb.WorkloadStatusStreamMessageSchema>;

/** Names that wait for one slow client; past that it has to subscribe anew. */
const backlog = 100_000;

/** Nodes that begin or cease to report, change the life of their heartbeat, or are removed; never plain renewals. No snapshot. */
export async function* nodeEvents(view: ClusterView, over: AbortSignal): AsyncIterable<NodeEvent> {
  const changed = new Latest<NodeEvent>(backlog);
  const subscriptions = [
    view.heartbeats.subscribe((node, reports) => {
      const event = reports ? alive(view, node) : dead(view, node);
      if (event !== undefined) changed.set(node, event);
    }),
    view.subscribe(({ table, name, before, after }) => {
      // A node that is removed is told once, whether it had a heartbeat or not.
      if (table === 'nodes' && after === undefined)
        changed.set(name, { nodename: name, alive: false, error: noSuchNode(name).message });
      else if (table === 'nodeStatuses' && before !== undefined && after !== undefined) {
        const [was, is] = [before.value, after.value] as NodeStatusRecord[];
        if (was?.ttlMs !== is?.ttlMs) changed.set(name, alive(view, name));
      }
    }),
  ];
  yield* until(changed, over, subscriptions);
}

function alive(view: ClusterView, name: string): NodeEvent {
  const pod = view.nodes.get(name)?.value.pod;
  return {
    nodename: name,
    podname: pod ?? '',
    alive: true,
    ...(pod === undefined && { error: noSuchNode(name).message }),
  };
}

function dead(view: ClusterView, name: string): NodeEvent | undefined {
  const pod = view.nodes.get(name)?.value.pod;
  return pod === undefined ? undefined : { nodename: name, podname: pod, alive: false };
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
  const ofRecords = view.subscribe(({ table, name, before, after }) => {
    if (table === 'workloadStatuses') tell(name, after === undefined);
    else if (table === 'workloads' && after === undefined && view.workloadStatuses.get(name) !== undefined) {
      // Its status goes in the same transaction, and its event needs to know whose it was.
      removed.set(name, before?.value as WorkloadRecord);
    } else if (table === 'workloads' && before !== undefined && after !== undefined) {
      const [was, is] = [before.value, after.value] as WorkloadRecord[];
      if (was?.vanishedAtMs !== is?.vanishedAtMs && view.workloadStatuses.get(name) !== undefined) tell(name, false);
    }
  });
  const ofNodes = view.heartbeats.subscribe((node) => {
    for (const { id } of view.workloadsOn(node)) if (view.workloadStatuses.get(id) !== undefined) tell(id, false);
  });
  for await (const { id, deleted, record: last } of until(changed, over, [ofRecords, ofNodes])) {
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
export async function* until<T>(
  changes: Latest<T>,
  over: AbortSignal,
  subscriptions: readonly (() => void)[],
): AsyncIterable<T> {
  const end = (): void => changes.end();
  over.addEventListener('abort', end, { once: true });
  if (over.aborted) end();
  try {
    yield* changes;
  } finally {
    over.removeEventListener('abort', end);
    for (const unsubscribe of subscriptions) unsubscribe();
  }
}
