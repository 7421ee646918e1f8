import { pb, type CallContext, type ServiceHandlers } from '@eru/contract';
import { deadline, EruError, limitConcurrency, Queue } from '@eru/kit';

import { checkNode } from '../../nodes/check.ts';
import { addNode, nodeOf, removeNode, setNode } from '../../nodes/nodes.ts';
import { markDown } from '../../operations/statuses.ts';
import { matches } from '../candidates.ts';
import { concurrency, type Edge } from '../edge.ts';
import { engineInfoText, newNodeMessage, nodeMessage, type NodeMessage } from '../wire/node.ts';
import { readResources, resourcesText } from '../wire/resources-json.ts';

export function nodeMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, membership, engines } = edge;
  const { view } = context;
  const ignored = (kind: string): void =>
    context.logger.warn({ kind }, 'a resource request is no JSON object and is ignored');
  return {
    addNode: async (request, { signal }) => {
      const { nodename, podname, endpoint, ca, cert, key, labels, test } = request;
      const resources = readResources(request.resources, ignored);
      await addNode(
        context,
        membership.current(),
        engines,
        { name: nodename, pod: podname, endpoint, ca, cert, key, labels, resources, test },
        signal,
      );
      const added = nodeOf(context, nodename);
      return newNodeMessage(added.record.value, added.resources.value);
    },

    removeNode: async ({ nodename }, { signal }) => {
      await removeNode(context, membership.current(), nodename, signal);
      return {};
    },

    getNode: async ({ nodename }) => known(edge, nodename),

    getNodeEngineInfo: async ({ nodename }, { signal }) => {
      nodeOf(context, nodename);
      const { type } = await context.engineOf(nodename).info({ signal, timeoutMs: context.limits.connectMs });
      return { type };
    },

    setNode: async (request) => {
      const { nodename: name, endpoint, ca, cert, key, labels, delta } = request;
      nodeOf(context, name);
      const tenure = membership.current();
      if (request.workloadsDown) await markDown(context, tenure, name);
      const resources = readResources(request.resources, ignored);
      const cordon = request.bypass === pb.TriOpt.KEEP ? undefined : request.bypass === pb.TriOpt.TRUE;
      await setNode(context, tenure, engines, { name, endpoint, ca, cert, key, labels, resources, delta, cordon });
      return known(edge, name);
    },

    getNodeResource: async ({ opts, fix }, { signal }) => {
      const name = opts?.nodename ?? '';
      const { resources, lines } = await checkNode(context, membership.current(), name, fix, signal);
      return {
        name,
        diffs: lines,
        resourceCapacity: resourcesText(resources.capacity),
        resourceUsage: resourcesText(resources.usage),
      };
    },

    listPodNodes: async function* (request, call) {
      const { podname, all, labels, skipInfo, timeoutInSecond } = request;
      const names = view.nodes.names().filter((name) => {
        const node = view.nodes.get(name)?.value;
        if (node === undefined || (podname !== '' && node.pod !== podname) || !matches(node.labels, labels))
          return false;
        return all || (view.isAvailable(name) && !view.isCordoned(name));
      });
      const nodes = names.flatMap((name) => nodeMessage(view, name) ?? []);
      if (skipInfo) yield* nodes;
      else yield* withInfo(edge, nodes, timeoutInSecond > 0 ? timeoutInSecond * 1000 : context.limits.connectMs, call);
    },
  };
}

function known({ context }: Edge, name: string): NodeMessage {
  nodeOf(context, name);
  const message = nodeMessage(context.view, name);
  if (message === undefined) throw new EruError('internal', `node ${name} is half known`);
  return message;
}

/** Asks every engine, within one deadline for all; nodes come as their engines answer. */
async function* withInfo(
  { context }: Edge,
  nodes: readonly NodeMessage[],
  ms: number,
  call: CallContext,
): AsyncIterable<NodeMessage> {
  const limit = limitConcurrency(concurrency);
  const until = deadline(context.clock, ms, call.signal);
  const answers = new Queue<NodeMessage>();
  void Promise.all(
    nodes.map((node) =>
      limit(async () => {
        try {
          answers.push({
            ...node,
            info: engineInfoText(await context.engineOf(node.name ?? '').info({ signal: until.signal })),
          });
        } catch (error) {
          answers.push({ ...node, available: false, info: EruError.from(error).message });
        }
      }),
    ),
  ).then(() => answers.end());
  try {
    yield* answers;
  } finally {
    until.clear();
  }
}
