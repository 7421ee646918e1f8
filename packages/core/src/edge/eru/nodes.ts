import type { eru, ServiceHandlers } from '@eru/contract';

import { networkQuestion, networkRequest } from '@eru/engines';

import { nodeOf } from '../../nodes/nodes.ts';
import { checkAndFix } from '../../upkeep/reconciler.ts';
import type { Edge } from '../edge.ts';

export function eruNodeMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    askNetwork: async ({ node, verb, request }, { signal }) => {
      nodeOf(context, node);
      const engine = context.engineOf(node);
      const answer = await engine.askNetwork(networkQuestion(verb), networkRequest(request), { signal });
      return { answer: JSON.stringify(answer) };
    },
    checkNode: async ({ node, fix }, { signal }) => {
      nodeOf(context, node);
      const diffs = await checkAndFix(context, membership.current(), node, fix, signal);
      return { node, ok: diffs.length === 0, diffs };
    },
  };
}
