import type { pb, ServiceHandlers } from '@eru/contract';
import type { Engine } from '@eru/engines';
import { EruError, isEruError } from '@eru/kit';
import { isIPv4 } from 'node:net';

import { nodesFor } from './candidates.ts';
import type { Edge } from './edge.ts';
import { known } from './workload-methods.ts';

/** Nothing of it is stored: the agent reports what a workload's addresses are. */
export function networkMethods({ context, candidates }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { view } = context;
  const engineOf = (id: string): Engine => {
    if (id === '') throw new EruError('invalid', 'workload ID is empty');
    return context.engineOf(known(view, id).node);
  };
  return {
    /** One node tells for its pod. Nodes of another kind are asked when the first knows no networks. */
    listNetworks: async ({ podname, driver }, { signal }) => {
      const nodes = nodesFor(candidates, podname, [], `pod: ${podname}: pod has no nodes`);
      const byKind = new Map(nodes.toReversed().map((name) => [view.nodes.get(name)?.value.engine, name]));
      let lacking: unknown;
      for (const node of [...byKind.values()].toReversed()) {
        try {
          const drivers = driver === '' ? [] : [driver];
          const networks = await context.engineOf(node).networkList({ signal, drivers });
          return { networks: networks.map(({ name, subnets }) => ({ name, subnets })) };
        } catch (error) {
          if (!isEruError(error, 'unsupported')) throw error;
          lacking ??= error;
        }
      }
      throw lacking;
    },

    connectNetwork: async ({ network, target, ipv4, ipv6 }, { signal }) => {
      const engine = engineOf(target);
      if (ipv4 !== '' && !isIPv4(ipv4)) throw new EruError('invalid', `ip: ${ipv4}: invalid IP address`);
      return { name: network, subnets: await engine.networkConnect(target, network, { ipv4, ipv6, signal }) };
    },

    disconnectNetwork: async ({ network, target, force }, { signal }) => {
      await engineOf(target).networkDisconnect(target, network, { force, signal });
      return {};
    },
  };
}
