import { eru, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError, invalid, isEruError } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import { inSlices } from '../../operations/slices.ts';
import { planRequest, type CreateEvent } from '../../operations/create.ts';
import { askExternal } from '../../external/external.ts';
import type { Outcome } from '../../state/records.ts';
import { once, type RequestKey } from '../../operations/requests.ts';
import { deploy, doneMessage } from '../core-rpc/deploy-methods.ts';
import { readDeploy, type DeployRequest } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { noCandidatesMessage, placedMessage, planMessage } from '../wire/plan.ts';
import { requestKey } from '../wire/request-key.ts';
import { readResourcesStrictly } from '../wire/resources-json.ts';

type DeployEvent = MessageInitShape<typeof eru.DeployEventSchema>;
type PlanMessage = MessageInitShape<typeof eru.PlanResultSchema>;

/** The result of a request with a key is one value of the store. */
const mostKeyed = 5000;

export function eruDeployMethods(edge: Edge): ServiceHandlers<typeof eru.Eru> {
  const { context, candidates } = edge;
  const { scheduler, view, clock } = context;
  return {
    deploy: (wire, { signal }) => {
      const { request, resources, key } = read(edge, wire);
      return eventsOf(edge, request, deployOnce(edge, request, resources, key, wire.asynchronous, signal));
    },

    plan: async (wire, { signal }) => {
      const { request, resources } = read(edge, wire);
      const { strategy, nodes } = request;
      if (strategy === undefined) throw new EruError('unsupported', 'deploy method not support yet');
      try {
        const named = candidates.of(nodes);
        const asked = {
          ...planRequest(context, { ...request, strategy, resources, candidates: () => named }),
          ...(await askExternal(context, named, resources, signal)),
        };
        const plan = await inSlices(scheduler.planInSteps(view.fleet, asked), clock, signal);
        if (plan.ok && !wire.explain) return planMessage(plan);
        const leftOut = candidates.excluded(nodes);
        if (!plan.ok) return planMessage(plan, leftOut);
        return planMessage(plan, leftOut, await inSlices(scheduler.capacityInSteps(view.fleet, asked), clock, signal));
      } catch (error) {
        return withoutCandidates(edge, request, error);
      }
    },
  };
}

/** Everything that can be refused before any effect. Stricter than the original's contract: nothing is ignored silently. */
function read(
  { context }: Edge,
  wire: eru.DeployRequest,
): { request: DeployRequest; resources: Resources; key: RequestKey | undefined } {
  const request = readDeploy(wire.options, { process: wire.process, engine: wire.engine, anyEngine: true });
  const { view, scheduler } = context;
  if (view.pods.get(request.pod) === undefined) {
    throw new EruError(
      'not_found',
      `pod ${request.pod} is not known; there are: ${view.pods.names().join(', ') || 'none'}`,
    );
  }
  const resources = readResourcesStrictly(wire.options?.resources ?? {}, (asked) => scheduler.unknownKeys(asked));
  scheduler.validate(resources);
  const key = requestKey(eru.DeployRequestSchema, wire);
  if (key !== undefined && request.count > mostKeyed)
    throw invalid('count', request.count, `the most in one request with an idempotency key are ${mostKeyed}`);
  return { request, resources, key };
}

/** A deploy that its key has begun already: what became of it. */
interface Attached {
  type: 'attached';
  operation: string;
  result: readonly Outcome[];
}

/** The events of a deploy, or those of the one that an earlier request with this key has begun. */
async function* deployOnce(
  edge: Edge,
  request: DeployRequest,
  resources: Resources,
  key: RequestKey | undefined,
  asynchronous: boolean,
  signal: AbortSignal,
): AsyncIterable<CreateEvent | Attached> {
  const events = deploy(edge, request, resources, signal, { request: key, asynchronous })[Symbol.asyncIterator]();
  let next = await once<IteratorResult<CreateEvent | Attached>>(
    edge.context,
    key,
    signal,
    () => events.next(),
    (result, operation) => ({ value: { type: 'attached', operation, result } }),
  );
  while (next.done !== true) {
    yield next.value;
    if (next.value.type === 'attached' || (asynchronous && next.value.type === 'planned')) return;
    next = await events.next();
  }
}

async function* eventsOf(
  edge: Edge,
  request: DeployRequest,
  events: AsyncIterable<CreateEvent | Attached>,
): AsyncIterable<DeployEvent> {
  let lost: EruError | undefined;
  try {
    for await (const event of events) {
      if (event.type === 'done' && isEruError(event.error, 'fenced')) lost = event.error;
      else if (event.type === 'attached') yield* attachedMessages(edge, request, event);
      else {
        const message = eventMessage(edge, request, event);
        if (message !== undefined) yield message;
      }
    }
  } catch (error) {
    yield { event: { case: 'refused', value: withoutCandidates(edge, request, error) } };
  }
  // Another core goes on with those that were not told of, and knows of all under the idempotency key.
  if (lost !== undefined) throw lost;
}

function* attachedMessages(edge: Edge, request: DeployRequest, { operation, result }: Attached): Iterable<DeployEvent> {
  const instances = result.map(({ node, name }) => ({ node, name }));
  yield { event: { case: 'planned', value: { ok: true, instances, total: BigInt(result.length), operation } } };
  for (const { node, name, id, error, hook } of result) {
    const record = edge.context.view.workloads.get(id)?.value;
    const done = doneMessage(edge, request, {
      type: 'done',
      node,
      name,
      id,
      record,
      resources: record?.resources ?? {},
      error: error === '' ? undefined : new EruError('failed', error),
      hook: new TextEncoder().encode(hook),
      unprepared: false,
    });
    // What was made and is gone by now was made all the same.
    yield { event: { case: 'done', value: { ...done, id, success: error === '' } } };
  }
}

function eventMessage(edge: Edge, request: DeployRequest, event: CreateEvent): DeployEvent | undefined {
  switch (event.type) {
    case 'planned':
      return { event: { case: 'planned', value: placedMessage(event.slots, event.operation) } };
    case 'refused':
      return { event: { case: 'refused', value: planMessage(event.plan, edge.candidates.excluded(request.nodes)) } };
    case 'step':
      return { event: { case: 'progress', value: { name: event.name, node: event.node, step: event.step } } };
    case 'done':
      // The original's message of one that was not even prepared has neither.
      return {
        event: {
          case: 'done',
          value: { ...doneMessage(edge, request, event), name: event.name, nodename: event.node },
        },
      };
    case 'exited':
      return undefined;
  }
}

/** That there is no node at all is an answer like any other refusal; every other error is not. */
function withoutCandidates({ candidates }: Edge, { nodes }: DeployRequest, error: unknown): PlanMessage {
  if (!isEruError(error, 'no_capacity')) throw error;
  return noCandidatesMessage(error.message, candidates.excluded(nodes));
}
