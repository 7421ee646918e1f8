import type { eru, MessageInitShape, ServiceHandlers } from '@eru/contract';
import { EruError, isEruError } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import { inSlices } from '../slices.ts';
import { planRequest, type CreateEvent } from '../create.ts';
import { deploy, doneMessage } from './deploy-methods.ts';
import { readDeploy, type DeployRequest } from './deploy-options.ts';
import type { Edge } from './edge.ts';
import { noCandidatesMessage, placedMessage, planMessage } from './plan-wire.ts';
import { readResourcesStrictly } from './resources-json.ts';

type DeployEvent = MessageInitShape<typeof eru.DeployEventSchema>;
type PlanMessage = MessageInitShape<typeof eru.PlanResultSchema>;

export function eruDeployMethods(edge: Edge): ServiceHandlers<typeof eru.Eru> {
  const { context, candidates } = edge;
  return {
    deploy: (wire, { signal }) => {
      const { request, resources } = read(edge, wire);
      return eventsOf(edge, request, deploy(edge, request, resources, signal));
    },

    plan: async (wire, { signal }) => {
      const { request, resources } = read(edge, wire);
      const { strategy, nodes } = request;
      if (strategy === undefined) throw new EruError('unsupported', 'deploy method not support yet');
      try {
        const asked = planRequest(context, { ...request, strategy, resources, candidates: () => candidates.of(nodes) });
        const steps = context.scheduler.planInSteps(context.view.fleet, asked);
        return planMessage(await inSlices(steps, context.clock, signal));
      } catch (error) {
        return withoutCandidates(edge, request, error);
      }
    },
  };
}

/** Everything that can be refused before any effect. Stricter than the original's contract: nothing is ignored silently. */
function read({ context }: Edge, wire: eru.DeployRequest): { request: DeployRequest; resources: Resources } {
  if (wire.idempotencyKey !== '')
    throw new EruError('unsupported', 'idempotency_key: this server does not know earlier requests by their keys yet');
  const request = readDeploy(wire.options, { process: wire.process, anyEngine: true });
  const { view, scheduler } = context;
  if (view.pods.get(request.pod) === undefined) {
    throw new EruError(
      'not_found',
      `pod ${request.pod} is not known; there are: ${view.pods.names().join(', ') || 'none'}`,
    );
  }
  const resources = readResourcesStrictly(wire.options?.resources ?? {}, (asked) => scheduler.unknownKeys(asked));
  scheduler.validate(resources);
  return { request, resources };
}

async function* eventsOf(
  edge: Edge,
  request: DeployRequest,
  events: AsyncIterable<CreateEvent>,
): AsyncIterable<DeployEvent> {
  try {
    for await (const event of events) yield eventMessage(edge, request, event);
  } catch (error) {
    yield { event: { case: 'refused', value: withoutCandidates(edge, request, error) } };
  }
}

function eventMessage(edge: Edge, request: DeployRequest, event: CreateEvent): DeployEvent {
  switch (event.type) {
    case 'planned':
      return { event: { case: 'planned', value: placedMessage(event.slots) } };
    case 'refused':
      return { event: { case: 'refused', value: planMessage(event.plan) } };
    case 'step':
      return { event: { case: 'progress', value: { name: event.name, node: event.node, step: event.step } } };
    case 'done':
      return { event: { case: 'done', value: doneMessage(edge, request, event) } };
  }
}

/** That there is no node at all is an answer like any other refusal; every other error is not. */
function withoutCandidates({ candidates }: Edge, { nodes }: DeployRequest, error: unknown): PlanMessage {
  if (!isEruError(error, 'no_capacity')) throw error;
  return noCandidatesMessage(error.message, candidates.excluded(nodes));
}
