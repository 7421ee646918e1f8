import type { pb, ServiceHandlers } from '@eru/contract';
import { EruError, isEruError, limitConcurrency, Queue, toSafeNumber } from '@eru/kit';

import { noSuchWorkload } from '../../absent.ts';
import { controlWorkload } from '../../operations/control.ts';
import type { ControlType, WorkloadRecord } from '../../state/records.ts';
import { removeWorkload } from '../../operations/remove.ts';
import type { ClusterView } from '../../state/view.ts';
import { matches } from '../candidates.ts';
import { concurrency, type Edge } from '../edge.ts';
import { wanted, type StatusFilter } from './status-streams.ts';
import { workloadMessage } from '../wire/workload.ts';

/** The only text that these methods answer with the plain status 2. */
export const noIds = 'no workload IDs given';

export function workloadMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, membership } = edge;
  const { view } = context;
  return {
    getWorkload: async ({ id }) => {
      if (id === '') throw new EruError('invalid', 'workload ID is empty');
      return workloadMessage(view, known(view, id));
    },

    getWorkloads: async ({ IDs }) => ({
      workloads: IDs.map((id) => known(view, id)).map((record) => workloadMessage(view, record)),
    }),

    listWorkloads: async function* (request) {
      const limit = toSafeNumber(request.limit, 'limit');
      const found = inKeyOrder(view, request);
      for (const { id } of limit > 0 ? found.slice(0, limit) : found) {
        // It may have been removed while an earlier one was sent.
        const record = view.workloads.get(id)?.value;
        if (record !== undefined && matches(record.labels, request.labels)) yield workloadMessage(view, record);
      }
    },

    listNodeWorkloads: async ({ nodename, labels }) => {
      if (nodename === '') throw new EruError('invalid', 'node name is empty');
      const records = view.workloadsOn(nodename).filter((record) => matches(record.labels, labels));
      return { workloads: records.map((record) => workloadMessage(view, record)) };
    },

    /** No hook, no stop: an engine refuses what runs unless it is forced. Nodes side by side, the workloads of one in turn. */
    removeWorkload: ({ IDs, force }, { signal }) => {
      if (IDs.length === 0) throw new EruError('invalid', noIds);
      const tenure = membership.current();
      const byNode = new Map<string, string[]>();
      for (const id of new Set(IDs)) {
        const { node } = known(view, id);
        byNode.set(node, [...(byNode.get(node) ?? []), id]);
      }
      return outcomes([...byNode.values()], async (ids, tell) => {
        for (const id of ids) {
          const failure = await removeWorkload(context, tenure, { id, force, stop: false, graceMs: null }, signal).then(
            () => undefined,
            (error: unknown) => EruError.from(error).message,
          );
          tell({ id, success: failure === undefined, hook: failure ?? '' });
        }
      });
    },

    controlWorkload: ({ IDs, type, force }, { signal }) => {
      if (IDs.length === 0) throw new EruError('invalid', noIds);
      const tenure = membership.current();
      return outcomes(
        [...new Set(IDs)],
        async (id, tell: (message: { id: string; hook?: Uint8Array; error?: string }) => void) => {
          try {
            known(view, id);
            const hook = await controlWorkload(context, tenure, { id, type: controlTypeOf(type), force }, signal);
            tell({ id, hook });
          } catch (error) {
            tell({ id, error: EruError.from(error).message });
          }
        },
      );
    },
  };
}

/**
 * Runs `work` on every item, some at a time, and gives what it tells as it comes. The work goes on at its own pace and to its
 * end, however slow the reader is, and when there is none any more. When all of it is over, the first error of it is thrown.
 */
export function outcomes<I, M>(
  items: readonly I[],
  work: (item: I, tell: (message: M) => void) => Promise<void>,
  width = concurrency,
): AsyncIterable<M> {
  const limit = limitConcurrency(width);
  const told = new Queue<M>();
  void Promise.allSettled(items.map((item) => limit(() => work(item, (message) => told.push(message))))).then((all) => {
    const failed = all.find((one) => one.status === 'rejected');
    told.end(failed?.reason);
  });
  return told;
}

/**
 * An outcome that cannot be told, because this core has lost its lease: another one goes on, and knows it under the request's
 * idempotency key. @throws the error if it says so
 */
export function rethrowUnknown(error: unknown): void {
  if (isEruError(error, 'fenced')) throw error;
}

const controlTypes: readonly ControlType[] = ['start', 'stop', 'restart', 'suspend', 'resume'];

export function controlTypeOf(type: string): ControlType {
  const found = controlTypes.find((known) => known === type);
  if (found === undefined) throw new EruError('invalid', 'unknown control type', { details: { field: 'type' } });
  return found;
}

/** The order of the original's keys. */
function inKeyOrder(view: ClusterView, filter: StatusFilter): WorkloadRecord[] {
  const found: WorkloadRecord[] = [];
  for (const [, { value }] of view.workloads) if (wanted(value, filter)) found.push(value);
  return found.sort(
    (a, b) =>
      compare(a.app, b.app) || compare(a.entrypoint, b.entrypoint) || compare(a.node, b.node) || compare(a.id, b.id),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function known(view: ClusterView, id: string): WorkloadRecord {
  const record = view.workloads.get(id)?.value;
  if (record === undefined) throw noSuchWorkload(id);
  return record;
}
