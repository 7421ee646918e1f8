import type { CoreCalls } from '@eru/agent';
import { create, eru, pb } from '@eru/contract';
import type { Logger } from '@eru/kit';

/** No core: everything is taken, and written to the log (`store: mocks`). */
export function mockCore(logger: Logger): CoreCalls {
  return {
    core: {
      getNode: ({ nodename = '' }) => Promise.resolve(create(pb.NodeSchema, { name: nodename, podname: 'mock' })),
      addNode: () => Promise.resolve(create(pb.NodeSchema)),
      addPod: () => Promise.resolve(create(pb.PodSchema)),
      setNodeStatus: ({ nodename, ttl }) => {
        logger.info({ node: nodename, ttl: Number(ttl) }, 'heartbeat');
        return Promise.resolve(create(pb.EmptySchema));
      },
    },
    eru: {
      reportWorkloads: ({ reports = [] }) => {
        for (const { id, status } of reports)
          logger.info({ id, running: status?.running, healthy: status?.healthy, reason: status?.reason }, 'report');
        return Promise.resolve(create(eru.ReportWorkloadsResponseSchema));
      },
    },
  };
}
