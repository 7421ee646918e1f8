import type { MessageInitShape, pb, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { dissociateWorkload } from '../../operations/dissociate.ts';
import { reallocWorkload } from '../../operations/realloc.ts';
import type { WorkloadRecord } from '../../state/records.ts';
import { replaceWorkload, type Replaced } from '../../operations/replace.ts';
import type { ClusterView } from '../../state/view.ts';
import { matches } from '../candidates.ts';
import { leniently, publishedAtOnce } from './deploy-methods.ts';
import { readDeploy, type DeployRequest, type NodeChoice } from '../wire/deploy-options.ts';
import type { Edge } from '../edge.ts';
import { resourcesText } from '../wire/resources-json.ts';
import { known, noIds, outcomes } from './workload-methods.ts';

export type ReplaceMessage = MessageInitShape<typeof pb.ReplaceWorkloadMessageSchema>;
type DissociateMessage = MessageInitShape<typeof pb.DissociateWorkloadMessageSchema>;

/** What changes a workload that is there: other resources, another in its place, forgotten. */
export function changeMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, membership } = edge;
  const { view } = context;
  return {
    dissociateWorkload: ({ IDs }, { signal }) => {
      if (IDs.length === 0) throw new EruError('invalid', noIds);
      for (const id of IDs) known(view, id);
      const tenure = membership.current();
      return outcomes([...new Set(IDs)], async (id, tell: (message: DissociateMessage) => void) => {
        const error = await dissociateWorkload(context, tenure, { id }, signal).then(
          () => '',
          (failure: unknown) => EruError.from(failure).message,
        );
        tell({ id, error });
      });
    },

    reallocResource: async ({ id, resources }, { signal }) => {
      if (id === '') throw new EruError('invalid', noIds);
      known(view, id);
      await reallocWorkload(context, membership.current(), { id, resources: leniently(edge, { resources }) }, signal);
      return {};
    },

    /** Several at once; those that are filtered out are not spoken of. */
    replaceWorkload: (options, { signal }) => {
      const { deployOpt, networkinherit, copy, filterLabels, IDs } = options;
      const request = readDeploy(deployOpt, { anyEngine: false, replacing: true });
      const tenure = membership.current();
      const olds = IDs.length > 0 ? [...new Set(IDs)] : ofEntrypoint(view, request).map(({ id }) => id);
      return outcomes([...olds.entries()], async ([sequence, id], tell: (message: ReplaceMessage) => void) => {
        try {
          const old = known(view, id);
          if (!isWanted(old, request.pod, filterLabels)) return;
          const replaced = await replaceWorkload(
            context,
            tenure,
            {
              id,
              sequence,
              instance: request,
              inheritNetworks: networkinherit,
              copy: new Map(Object.entries(copy)),
              overlap: undefined,
              gateMs: 0,
              needsImage: true,
            },
            signal,
          );
          tell(replaceMessage(view, request, replaced));
        } catch (error) {
          tell({ remove: { id, success: false }, error: EruError.from(error).message });
        }
      });
    },
  };
}

/** All workloads of an entrypoint, in name order; on the nodes that are named, if any. */
export function ofEntrypoint(
  view: ClusterView,
  { app, entrypoint, nodes }: Pick<DeployRequest, 'app' | 'entrypoint'> & { nodes: NodeChoice },
): WorkloadRecord[] {
  return [...view.workloads]
    .map(([, { value }]) => value)
    .filter(
      (record) =>
        record.app === app &&
        record.entrypoint === entrypoint &&
        (nodes.includes.length === 0 || nodes.includes.includes(record.node)),
    )
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** Another pod than the one that is named, or other labels, and it is left alone. */
export function isWanted(old: WorkloadRecord, pod: string, labels: Readonly<Record<string, string>>): boolean {
  return (pod === '' || old.pod === pod) && matches(old.labels, labels);
}

function replaceMessage(view: ClusterView, request: DeployRequest, replaced: Replaced): ReplaceMessage {
  const { old, failure, stopHook } = replaced;
  const hook = Buffer.from(stopHook).toString();
  if (failure === undefined)
    return { create: createdMessage(view, request, replaced), remove: { id: old.id, success: true, hook } };
  const tried = replaced.tried
    ? { create: { ...createdMessage(view, request, replaced), error: failure.message } }
    : {};
  return { ...tried, remove: { id: old.id, success: false, hook }, error: failure.message };
}

/** The new workload; with success false when the old one is back. */
export function createdMessage(
  view: ClusterView,
  request: DeployRequest,
  { old, record, name, startHook }: Replaced,
): MessageInitShape<typeof pb.CreateWorkloadMessageSchema> {
  const message = { podname: old.pod, nodename: old.node, name, hook: startHook };
  if (record === undefined) return { ...message, success: false, resources: resourcesText(undefined) };
  return {
    ...message,
    id: record.id,
    success: true,
    publish: publishedAtOnce(view, request.template, record),
    resources: resourcesText(record.resources),
  };
}
