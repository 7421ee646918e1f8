import type { pb, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { addPod, podOf, removePod } from '../../nodes/pods.ts';
import type { Edge } from '../edge.ts';
import { resourcesText } from '../wire/resources-json.ts';

export function podMethods({ context, membership }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { view, scheduler } = context;
  return {
    addPod: async ({ name, desc }) => addPod(context, membership.current(), name, desc),

    removePod: async ({ name }, { signal }) => {
      await removePod(context, membership.current(), name, signal);
      return {};
    },

    getPod: async ({ name }) => podOf(context, name).value,

    listPods: async () => ({ pods: view.pods.names().flatMap((name) => view.pods.get(name)?.value ?? []) }),

    /** Nodes that are up; of an unknown pod none. An empty name is every pod. */
    getPodResource: async function* ({ name: pod }) {
      const booked = view.booked();
      for (const name of view.nodes.names()) {
        const [node, resources] = [view.nodes.get(name)?.value, view.nodeResources.get(name)?.value];
        if (node === undefined || (pod !== '' && node.pod !== pod)) continue;
        if (!view.isAvailable(name) || view.isCordoned(name)) continue;
        if (resources === undefined) continue;
        try {
          const { lines } = scheduler.diff(resources, booked.get(name) ?? []);
          yield {
            name,
            diffs: lines,
            resourceCapacity: resourcesText(resources.capacity),
            resourceUsage: resourcesText(resources.usage),
          };
        } catch (error) {
          yield { name, diffs: [EruError.from(error).message], resourceCapacity: 'null', resourceUsage: 'null' };
        }
      }
    },
  };
}
