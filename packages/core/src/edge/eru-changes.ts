import { eru, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError, invalid } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import { reallocWorkload } from '../realloc.ts';
import type { Outcome, WorkloadRecord } from '../records.ts';
import { replaceWorkload, type ReplaceRequest } from '../replace.ts';
import { hookOf, once } from '../requests.ts';
import { createdMessage, isWanted, ofEntrypoint } from './change-methods.ts';
import { readDeploy, type DeployRequest } from './deploy-options.ts';
import type { Edge } from './edge.ts';
import { requestKey } from './request-key.ts';
import { readResourcesStrictly, resourcesText } from './resources-json.ts';
import { known, outcomes } from './workload-methods.ts';

type Old = Pick<WorkloadRecord, 'id' | 'name'>;
type ReplaceEvent = MessageInitShape<typeof eru.ReplaceEventSchema>;

/** Changes of workloads with what the original's contract cannot say. */
export function eruChangeMethods(edge: Edge): ServiceHandlers<typeof eru.Eru> {
  const { context, membership } = edge;
  const { view, scheduler } = context;
  return {
    realloc: async (wire, { signal }) => {
      const { id } = wire;
      const resources = readResourcesStrictly(wire.resources, (asked) => scheduler.unknownKeys(asked));
      const request = requestKey(eru.ReallocRequestSchema, wire);
      await once(
        context,
        request,
        signal,
        () => reallocWorkload(context, membership.current(), { id, resources, request }, signal),
        (result) => void hookOf(result),
      );
      return { resources: resourcesText(view.workloads.get(id)?.value.resources) };
    },

    replace: (wire, { signal }) => {
      const { request, overlap } = read(edge, wire);
      // A repeated request speaks of old ones that are gone: their keys know what became of them.
      const isKnown = (id: string): boolean =>
        view.requests.get(requestKey(eru.ReplaceRequestSchema, wire, id)?.key ?? '') !== undefined;
      const named = [...new Set(wire.ids)].map((id) => (isKnown(id) ? { id, name: '' } : known(view, id)));
      const olds = wire.ids.length > 0 ? named : ofEntrypoint(view, request);
      const wanted = olds.filter((old) => !('pod' in old) || isWanted(old, request.pod, wire.filterLabels));
      const roll = new Roll(edge, wire, request, overlap, signal);
      const window = wire.window === 0 ? 1 : wire.window;
      return outcomes([...wanted.entries()], ([sequence, old], tell) => roll.one(sequence, old, tell), window);
    },
  };
}

/** Everything that can be refused before any effect. */
function read(
  { context: { view, scheduler } }: Edge,
  { options, process, window, healthGate, overlap, idempotencyKey, ids }: eru.ReplaceRequest,
): { request: DeployRequest; overlap: Resources | undefined } {
  const request = readDeploy(options, { process, anyEngine: true, replacing: true });
  if (window < 0) throw invalid('window', window, 'write how many at a time, from 1');
  if (healthGate < 0) throw invalid('health_gate', healthGate, 'write seconds, or 0 for no gate');
  if (request.pod !== '' && view.pods.get(request.pod) === undefined)
    throw new EruError('not_found', `pod ${request.pod} is not known`);
  if (idempotencyKey !== '' && ids.length === 0)
    throw invalid('ids', '', 'name the old ones: without, a repeated request would mean the new ones');
  if (!overlap) return { request, overlap: undefined };
  const resources = readResourcesStrictly(options?.resources ?? {}, (asked) => scheduler.unknownKeys(asked));
  scheduler.validate(resources);
  return { request, overlap: resources };
}

/** One replacement after the other; after a failure none is begun any more. */
class Roll {
  readonly #edge: Edge;
  readonly #wire: eru.ReplaceRequest;
  readonly #request: DeployRequest;
  readonly #overlap: Resources | undefined;
  readonly #signal: AbortSignal;
  #failed = false;

  constructor(
    edge: Edge,
    wire: eru.ReplaceRequest,
    request: DeployRequest,
    overlap: Resources | undefined,
    signal: AbortSignal,
  ) {
    this.#edge = edge;
    this.#wire = wire;
    this.#request = request;
    this.#overlap = overlap;
    this.#signal = signal;
  }

  async one(sequence: number, old: Old, tell: (event: ReplaceEvent) => void): Promise<void> {
    const about = { oldId: old.id, oldName: old.name };
    if (this.#failed || this.#signal.aborted) {
      tell({ ...about, error: 'not begun, because an earlier one failed', skipped: true });
      return;
    }
    const { context } = this.#edge;
    const key = requestKey(eru.ReplaceRequestSchema, this.#wire, old.id);
    try {
      const event = await once(
        context,
        key,
        this.#signal,
        () => this.#replace(sequence, old, key),
        (result) => this.#attached(result),
      );
      this.#failed ||= event.success !== true;
      tell({ ...about, ...event });
    } catch (error) {
      this.#failed = true;
      tell({ ...about, error: EruError.from(error).message });
    }
  }

  async #replace(sequence: number, { id }: Old, key: ReplaceRequest['request']): Promise<ReplaceEvent> {
    const { context, membership } = this.#edge;
    const { inheritNetworks, copy, healthGate } = this.#wire;
    const replaced = await replaceWorkload(
      context,
      membership.current(),
      {
        id,
        sequence,
        instance: this.#request,
        inheritNetworks,
        copy: new Map(Object.entries(copy)),
        overlap: this.#overlap,
        gateMs: healthGate * 1000,
        needsImage: false,
        request: key,
      },
      this.#signal,
    );
    const { failure, stopHook } = replaced;
    if (failure !== undefined) return { success: false, error: failure.message, stopHook };
    return { success: true, created: createdMessage(context.view, this.#request, replaced), stopHook };
  }

  #attached([outcome]: readonly Outcome[]): ReplaceEvent {
    if (outcome === undefined || outcome.error !== '') return { success: false, error: outcome?.error ?? '' };
    const { id, name, node } = outcome;
    return { success: true, created: { id, name, nodename: node, success: true } };
  }
}
