import type { pb, ServiceHandlers } from '@eru/contract';
import { toSafeNumber } from '@eru/kit';

import { noHeartbeat, noSuchWorkload } from '../../absent.ts';
import { setNodeStatus } from '../../nodes/status.ts';
import { writeStatuses } from '../../operations/statuses.ts';
import type { Edge } from '../edge.ts';
import { nodeEvents, workloadEvents } from './status-streams.ts';
import { readStatus, shownStatus, statusMessage } from '../wire/workload.ts';

export function statusMethods({ context, membership, closing }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { view } = context;
  return {
    getNodeStatus: async ({ nodename }) => {
      if (!view.heartbeats.reports(nodename)) throw noHeartbeat(nodename);
      return { nodename, podname: view.nodes.get(nodename)?.value.pod ?? '', alive: true };
    },

    setNodeStatus: async ({ nodename, ttl }) => {
      await setNodeStatus(context, membership.current(), nodename, toSafeNumber(ttl, 'ttl'));
      return {};
    },

    nodeStatusStream: (_request, { signal }) => nodeEvents(view, AbortSignal.any([signal, closing])),

    getWorkloadsStatus: async ({ IDs }) => {
      const records = IDs.map((id) => {
        const record = view.workloads.get(id)?.value;
        if (record === undefined) throw noSuchWorkload(id);
        return record;
      });
      return {
        status: records.map((record) => ({ ...statusMessage(record.id, shownStatus(view, record)), id: record.id })),
      };
    },

    /** The first unknown id ends it; those before it stay written. Of duplicates the last counts. */
    setWorkloadsStatus: async ({ status }) => {
      const stop = status.findIndex(({ id }) => view.workloads.get(id) === undefined);
      const reports = (stop < 0 ? status : status.slice(0, stop)).map((one) => ({
        id: one.id,
        status: readStatus(one),
      }));
      const { unknown } = await writeStatuses(context, membership.current(), reports);
      const missing = unknown[0] ?? status[stop]?.id;
      if (missing !== undefined) throw noSuchWorkload(missing);
      return { status: reports.map(({ id, status }) => statusMessage(id, status)) };
    },

    workloadStatusStream: (request, { signal }) => workloadEvents(view, request, AbortSignal.any([signal, closing])),
  };
}
