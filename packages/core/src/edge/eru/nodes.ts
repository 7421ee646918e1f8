import type { eru, ServiceHandlers } from '@eru/contract';

import { nodeOf } from '../../nodes/nodes.ts';
import { checkAndFix } from '../../upkeep/reconciler.ts';
import type { Edge } from '../edge.ts';

export function eruNodeMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    checkNode: async ({ node, fix }, { signal }) => {
      nodeOf(context, node);
      const diffs = await checkAndFix(context, membership.current(), node, fix, signal);
      return { node, ok: diffs.length === 0, diffs };
    },
  };
}
