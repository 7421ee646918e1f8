import { eru, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import { EruError, invalid, Queue } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import { reallocWorkload } from '../../operations/realloc.ts';
import type { RollItem, WorkloadRecord } from '../../state/records.ts';
import type { Replaced } from '../../operations/replace.ts';
import { hookOf, once } from '../../operations/requests.ts';
import { mostRolled, rollWorkloads } from '../../operations/roll.ts';
import type { ClusterView } from '../../state/view.ts';
import { createdMessage, isWanted, ofEntrypoint } from '../core-rpc/change-methods.ts';
import { readDeploy, type DeployRequest } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { requestKey } from '../wire/request-key.ts';
import { readResourcesStrictly, resourcesText } from '../wire/resources-json.ts';
import { known } from '../core-rpc/workload-methods.ts';

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
      const key = requestKey(eru.ReplaceRequestSchema, wire);
      // A repeated request speaks of old ones that are gone: its key knows what became of them.
      const olds = key !== undefined && view.requests.get(key.key) !== undefined ? [] : oldOnes(view, wire, request);
      const told = new Queue<ReplaceEvent>();
      const begin = async (): Promise<void> => {
        if (olds.length === 0) return;
        const replace = {
          instance: request,
          inheritNetworks: wire.inheritNetworks,
          copy: new Map(Object.entries(wire.copy)),
          overlap,
          gateMs: wire.healthGate * 1000,
          needsImage: false,
        };
        const window = wire.window === 0 ? 1 : wire.window;
        const roll = { olds, window, replace, request: key };
        await rollWorkloads(context, membership.current(), roll, signal, (item, replaced) =>
          told.push(replaceEvent(view, request, item, replaced)),
        );
      };
      once(context, key, signal, begin, (outcomes) => {
        for (const { old = { id: '', name: '' }, name, id, ...rest } of outcomes)
          told.push(replaceEvent(view, request, { ...old, ...rest, ...(id !== '' && { made: { id, name } }) }));
      }).then(
        () => told.end(),
        (error: unknown) => told.end(error),
      );
      return told;
    },
  };
}

/** Those that are named, or all of the entrypoint; as filtered. */
function oldOnes(
  view: ClusterView,
  { ids, filterLabels }: eru.ReplaceRequest,
  request: DeployRequest,
): WorkloadRecord[] {
  const olds = ids.length > 0 ? [...new Set(ids)].map((id) => known(view, id)) : ofEntrypoint(view, request);
  const wanted = olds.filter((old) => isWanted(old, request.pod, filterLabels));
  if (wanted.length > mostRolled)
    throw invalid('ids', wanted.length, `the most that are replaced by one request are ${mostRolled}`);
  return wanted;
}

/** Everything that can be refused before any effect. */
function read(
  { context: { view, scheduler } }: Edge,
  { options, process, engine, window, healthGate, overlap }: eru.ReplaceRequest,
): { request: DeployRequest; overlap: Resources | undefined } {
  const request = readDeploy(options, { process, engine, anyEngine: true, replacing: true });
  if (window < 0) throw invalid('window', window, 'write how many at a time, from 1');
  if (healthGate < 0) throw invalid('health_gate', healthGate, 'write seconds, or 0 for no gate');
  if (request.pod !== '' && view.pods.get(request.pod) === undefined)
    throw new EruError('not_found', `pod ${request.pod} is not known`);
  if (!overlap) return { request, overlap: undefined };
  const resources = readResourcesStrictly(options?.resources ?? {}, (asked) => scheduler.unknownKeys(asked));
  scheduler.validate(resources);
  return { request, overlap: resources };
}

function replaceEvent(
  view: ClusterView,
  request: DeployRequest,
  { id, name, node, made, error, skipped }: Omit<RollItem, 'step' | 'attempt'>,
  replaced?: Replaced,
): ReplaceEvent {
  const about = { oldId: id, oldName: name, ...(replaced !== undefined && { stopHook: replaced.stopHook }) };
  if (made === undefined) return { ...about, success: false, error, ...(skipped && { skipped }) };
  const created =
    replaced === undefined ? { ...made, nodename: node, success: true } : createdMessage(view, request, replaced);
  return { ...about, success: true, created };
}
