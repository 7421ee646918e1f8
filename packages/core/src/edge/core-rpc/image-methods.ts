import type { MessageInitShape, pb, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { pullImage } from '../../operations/supply.ts';
import { nodesFor } from '../candidates.ts';
import type { Edge } from '../edge.ts';
import { outcomes } from './workload-methods.ts';

type CacheMessage = MessageInitShape<typeof pb.CacheImageMessageSchema>;
type RemoveMessage = MessageInitShape<typeof pb.RemoveImageMessageSchema>;
type ListMessage = MessageInitShape<typeof pb.ListImageMessageSchema>;

const noNodes = 'pod has no nodes';

/** Nodes side by side, the images of one in turn; what fails is a message. */
export function imageMethods({ context, candidates }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const nodesOf = ({ podname, nodenames }: { podname: string; nodenames: string[] }): readonly string[] =>
    nodesFor(candidates, podname, nodenames, noNodes);
  const checkPod = ({ podname }: { podname: string }): void => {
    if (podname === '') throw new EruError('invalid', 'pod name is empty');
  };
  return {
    cacheImage: (request, { signal }) => {
      checkPod(request);
      return outcomes(nodesOf(request), async (nodename, tell: (message: CacheMessage) => void) => {
        for (const image of request.images) {
          try {
            await pullImage(context.engineOf(nodename), image, context.registries, signal);
            tell({ image, nodename, success: true });
          } catch (error) {
            tell({ image, nodename, success: false, message: EruError.from(error).message });
          }
        }
      });
    },

    removeImage: (request, { signal }) => {
      checkPod(request);
      return outcomes(nodesOf(request), async (node, tell: (message: RemoveMessage) => void) => {
        for (const image of request.images) {
          try {
            const removed = await context.engineOf(node).imageRemove(image, { prune: true, signal });
            tell({ image, success: true, messages: removed.map((item) => `Clean: ${item}`) });
          } catch (error) {
            tell({ image, success: false, messages: [EruError.from(error).message] });
          }
        }
        if (!request.prune) return;
        await Promise.resolve()
          .then(() => context.engineOf(node).imagePrune({ signal }))
          .catch((error: unknown) => context.logger.warn({ err: error, node }, 'cannot prune images'));
      });
    },

    listImage: (request, { signal }) =>
      outcomes(nodesOf(request), async (nodename, tell: (message: ListMessage) => void) => {
        try {
          tell({ nodename, images: await context.engineOf(nodename).imageList(request.filter, { signal }) });
        } catch (error) {
          tell({ err: EruError.from(error).message });
        }
      }),
  };
}
