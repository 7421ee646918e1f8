import { loadOutput, type Context } from '@eru/cli';
import { EruError } from '@eru/kit';
import { connectNetd, DockerClient, importedOwner } from '@eru/network';
import { z } from 'zod';

import { netdSocketOf } from '../node/node-networks.ts';
import { defaultDockerSocket, type SocketFlags } from './net-command.ts';

export interface ImportDockerFlags extends SocketFlags {
  docker?: string;
}

const networkSchema = z.array(
  z.looseObject({
    Id: z.string(),
    Name: z.string(),
    Driver: z.string(),
    IPAM: z.looseObject({
      Config: z.array(z.looseObject({ Subnet: z.string(), Gateway: z.string().optional() })).nullish(),
    }),
    Options: z.record(z.string(), z.string()).nullish(),
  }),
);

const endpointSchema = z.looseObject({
  IPAddress: z.string().default(''),
  GlobalIPv6Address: z.string().default(''),
  MacAddress: z.string().default(''),
  IPAMConfig: z.looseObject({ IPv4Address: z.string().optional(), IPv6Address: z.string().optional() }).nullish(),
});

const containerSchema = z.array(
  z.looseObject({
    Id: z.string(),
    Names: z.array(z.string()),
    NetworkSettings: z.looseObject({ Networks: z.record(z.string(), endpointSchema).nullish() }).nullish(),
  }),
);

/**
 * Makes networks of ours out of dockerd's, on their bridges, and reserves what its containers have: so nobody is given it twice,
 * and containers can move over one by one with their addresses.
 */
export async function importDocker(
  context: Context,
  flags: ImportDockerFlags,
  names: readonly string[],
): Promise<undefined> {
  const { say } = await loadOutput();
  const netd = connectNetd(flags.socket ?? netdSocketOf(context.globals.data));
  const docker = new DockerClient(flags.docker ?? defaultDockerSocket);
  const [networks, containers] = await Promise.all([
    docker.get('/networks', context.signal).then((value) => networkSchema.parse(value)),
    docker.get('/containers/json?all=1', context.signal).then((value) => containerSchema.parse(value)),
  ]);
  const bridged = networks.filter(
    ({ Driver: driver, IPAM: { Config: subnets } }) => driver === 'bridge' && subnets?.length,
  );
  const odd = names.find((name) => !bridged.some((one) => one.Name === name));
  if (odd !== undefined)
    throw new EruError(
      'not_found',
      `dockerd has no bridge network ${odd}; it has: ${bridged.map((one) => one.Name).join(', ') || 'none'}`,
    );
  for (const network of bridged.filter(({ Name: name }) => names.length === 0 || names.includes(name))) {
    const { Name: name, Id: id, IPAM: ipam, Options: options } = network;
    const pools: string[] = [];
    for (const { Subnet: cidr, Gateway: gateway } of ipam.Config ?? []) {
      const pool = cidr.includes(':') ? `${name}-v6` : name;
      const address = gateway?.split('/')[0];
      await netd.putPool(
        { name: pool, cidr, scope: 'node', ...(address !== undefined && { gateway: address }) },
        context.signal,
      );
      pools.push(pool);
    }
    const bridge = options?.['com.docker.network.bridge.name'] ?? `br-${id.slice(0, 12)}`;
    // Docker has given the bridge its address, and masks what leaves its subnet.
    const main = { type: 'bridge', bridge, hairpinMode: true, capabilities: { mac: true } };
    const chained = [
      { type: 'firewall' },
      { type: 'portmap', snat: true, capabilities: { portMappings: true } },
      { type: 'bandwidth', capabilities: { bandwidth: true } },
    ];
    await netd.putNetwork({ name, pools, plugins: [main, ...chained] }, context.signal);
    let count = 0;
    for (const container of containers) {
      const endpoint = container.NetworkSettings?.Networks?.[name];
      const ips = endpoint === undefined ? [] : addressesOf(endpoint);
      if (endpoint === undefined || ips.length === 0) continue;
      const mac = endpoint.MacAddress === '' ? {} : { mac: endpoint.MacAddress };
      await netd.reserve(
        {
          owner: importedOwner(container.Id),
          kind: 'container',
          network: { network: name, ifname: ifnameOf(container, name), ips, ...mac },
        },
        context.signal,
      );
      count += 1;
    }
    say(context, `${name}: ${pools.join(', ')} on ${bridge}; ${count} containers of Docker's keep their addresses`);
  }
}

/** What it has, or is to have at its next start. */
function addressesOf(endpoint: z.infer<typeof endpointSchema>): string[] {
  const { IPAddress: four, GlobalIPv6Address: six, IPAMConfig: wanted } = endpoint;
  return [four || (wanted?.IPv4Address ?? ''), six || (wanted?.IPv6Address ?? '')].filter((ip) => ip !== '');
}

/** Only so that each of its addresses has a reservation of its own: Docker does not say what it calls an interface. */
function ifnameOf(container: z.infer<typeof containerSchema>[number], network: string): string {
  const all = Object.keys(container.NetworkSettings?.Networks ?? {}).toSorted();
  return `eth${all.indexOf(network)}`;
}
