import type { MessageInitShape, pb, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import { inSlices } from '../../operations/slices.ts';
import { placedLabels } from '../../operations/spec-of.ts';
import { askExternal } from '../../external/external.ts';
import { createWorkloads, planRequest, type CreateEvent, type CreateRequest } from '../../operations/create.ts';
import { readDeploy, readPlacement, type DeployRequest } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { nodeAddress } from '../wire/node.ts';
import { count64 } from '../wire/plan.ts';
import { readResources, resourcesText } from '../wire/resources-json.ts';
import type { WorkloadRecord } from '../../state/records.ts';
import type { ClusterView } from '../../state/view.ts';
import { published } from '../wire/workload.ts';

export type CreateMessage = MessageInitShape<typeof pb.CreateWorkloadMessageSchema>;

const unsupportedStrategy = 'deploy method not support yet';

export function deployMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, candidates } = edge;
  const { scheduler, view, clock } = context;
  return {
    calculateCapacity: async (options, { signal }) => {
      const { strategy, nodes, ...placement } = readPlacement(options);
      const resources = leniently(edge, options);
      if (strategy === 'DUMMY') {
        const named = candidates.of(nodes);
        const outside = await askExternal(context, named, resources, signal);
        const asked = { resources, candidates: named, labels: placedLabels(placement), ...outside };
        const { capacity } = await inSlices(scheduler.capacityInSteps(view.fleet, asked), clock, signal);
        if (capacity.total <= 0)
          throw new EruError(
            'no_capacity',
            'no node meets all the resource requirements at the same time: cannot alloc a plan, not enough resource',
          );
        return {
          total: count64(capacity.total),
          nodeCapacities: Object.fromEntries(capacity.nodes.map(({ node, count }) => [node, count64(count)])),
        };
      }
      if (strategy === undefined) throw new EruError('unsupported', unsupportedStrategy);
      const named = candidates.of(nodes);
      const asked = {
        ...planRequest(context, { ...placement, strategy, resources, candidates: () => named }),
        ...(await askExternal(context, named, resources, signal)),
      };
      const spread = await inSlices(scheduler.spreadInSteps(view.fleet, asked), clock, signal);
      if (!spread.ok) throw new EruError('no_capacity', spread.message);
      return {
        total: spread.choices.reduce((sum, { instances }) => sum + BigInt(instances), 0n),
        nodeCapacities: Object.fromEntries(spread.choices.map(({ node, instances }) => [node, BigInt(instances)])),
      };
    },

    /** Bad input fails the call; whatever happens to a good request is in its messages. */
    createWorkload: (options, { signal }) => {
      const request = readDeploy(options, { anyEngine: false });
      return messagesOf(edge, request, () => deploy(edge, request, leniently(edge, options), signal));
    },
  };
}

/** The events of a deploy; errors before anything is booked are thrown by the iteration. */
export async function* deploy(
  { context, membership, candidates, deployed }: Edge,
  request: DeployRequest,
  resources: Resources,
  signal: AbortSignal,
  how: Pick<CreateRequest, 'request' | 'asynchronous' | 'lambda'> = {},
): AsyncIterable<CreateEvent> {
  const { strategy, nodes, ...rest } = request;
  if (strategy === undefined) throw new EruError('unsupported', unsupportedStrategy);
  const create = { ...rest, ...how, strategy, resources, candidates: () => candidates.of(nodes) };
  for await (const event of createWorkloads(context, membership.current(), create, signal)) {
    if (event.type === 'planned') deployed(event.slots.length);
    yield event;
  }
}

async function* messagesOf(
  edge: Edge,
  request: DeployRequest,
  begin: () => AsyncIterable<CreateEvent>,
): AsyncIterable<CreateMessage> {
  try {
    for await (const event of begin()) {
      if (event.type === 'refused') yield refused(event.plan.message);
      else if (event.type === 'done') yield doneMessage(edge, request, event);
    }
  } catch (error) {
    yield refused(EruError.from(error).message);
  }
}

function refused(error: string): CreateMessage {
  return { error, success: false, resources: resourcesText(undefined) };
}

/** The outcome of one instance. */
export function doneMessage(
  { context: { view } }: Edge,
  request: DeployRequest,
  event: Extract<CreateEvent, { type: 'done' }>,
): CreateMessage {
  const { node, name, id, record, error, hook, resources, unprepared } = event;
  if (unprepared) return refused(error?.message ?? '');
  const message: CreateMessage = {
    podname: request.pod,
    nodename: node,
    name,
    hook,
    resources: resourcesText(resources),
  };
  if (error !== undefined || record === undefined) return { ...message, error: error?.message ?? '', success: false };
  return { ...message, id, success: true, publish: publishedAtOnce(view, request.template, record) };
}

/** Where a new workload is reached on its node's own network. Other networks give their addresses later; the agent reports them. */
export function publishedAtOnce(
  view: ClusterView,
  { networks, image }: DeployRequest['template'],
  { node, publish, ports }: WorkloadRecord,
): Record<string, string> {
  const onHost = 'host' in networks || (Object.keys(networks).length === 0 && image === '');
  return published(onHost ? { host: nodeAddress(view.nodes.get(node)?.value.endpoint ?? '') } : {}, publish, ports);
}

export function leniently(
  { context: { logger } }: Edge,
  { resources }: Pick<pb.DeployOptions, 'resources'>,
): Resources {
  return readResources(resources, (kind) =>
    logger.warn({ kind }, 'a resource request is no JSON object and is ignored'),
  );
}
