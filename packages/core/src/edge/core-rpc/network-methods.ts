import type { pb, ServiceHandlers } from '@eru/contract';
import { EruError, isEruError } from '@eru/kit';
import { isIPv4, isIPv6 } from 'node:net';

import { workOn, type Work } from '../../operations/work.ts';
import { nodesFor } from '../candidates.ts';
import type { Edge } from '../edge.ts';
import { known } from './workload-methods.ts';

/**
 * Nothing of it is stored: the agent reports what a workload's addresses are. What changes them claims the workload, so that nobody
 * replaces or removes it meanwhile.
 */
export function networkMethods({ context, candidates, membership }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { view } = context;
  const change = async (id: string, what: string, work: Work, signal: AbortSignal): Promise<void> => {
    if (id === '') throw new EruError('invalid', 'workload ID is empty');
    known(view, id);
    await workOn(context, membership.current(), { id, kind: 'network', what, work }, signal);
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
      let subnets: string[] = [];
      const work: Work = async (engine, until) => {
        if (ipv4 !== '' && !isIPv4(ipv4)) throw new EruError('invalid', `ip: ${ipv4}: invalid IP address`);
        if (ipv6 !== '' && !isIPv6(ipv6)) throw new EruError('invalid', `ip: ${ipv6}: invalid IPv6 address`);
        subnets = await engine.networkConnect(target, network, { ipv4, ipv6, signal: until });
      };
      await change(target, `connect ${network}`, work, signal);
      return { name: network, subnets };
    },

    disconnectNetwork: async ({ network, target, force }, { signal }) => {
      const work: Work = (engine, until) => engine.networkDisconnect(target, network, { force, signal: until });
      await change(target, `disconnect ${network}`, work, signal);
      return {};
    },
  };
}
