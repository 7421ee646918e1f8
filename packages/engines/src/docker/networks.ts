import { EruError, invalid } from '@eru/kit';
import net from 'node:net';

import type { EngineNetwork } from '../engine.ts';
import { ipamConfig } from './create-body.ts';
import type { DockerHttp } from './http-client.ts';
import { inspectContainer } from './inspect.ts';
import { podmansNetwork } from './podman.ts';
import type { Container, EndpointConfig } from './wire-types.ts';

interface Network {
  Name: string;
  Driver: string;
  IPAM?: { Config?: { Subnet?: string }[] | null };
}

/** The networks of one daemon. */
export class DockerNetworks {
  readonly #http: DockerHttp;

  constructor(http: DockerHttp) {
    this.#http = http;
  }

  async list(drivers: readonly string[], signal: AbortSignal): Promise<EngineNetwork[]> {
    const filters = JSON.stringify(drivers.length === 0 ? {} : { driver: drivers });
    const networks = await this.#http.json<Network[]>({ method: 'GET', path: '/networks', query: { filters }, signal });
    return networks
      .map(({ Name, Driver, IPAM }) => ({
        name: Name,
        driver: Driver,
        subnets: (IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Answers the addresses; of a container that does not run, those that it will have. */
  async connect(
    id: string,
    network: string,
    { ipv4 = '', ipv6 = '' }: { ipv4?: string; ipv6?: string },
    signal: AbortSignal,
  ): Promise<string[]> {
    if (ipv4 !== '' && !net.isIPv4(ipv4)) throw invalid('ipv4', ipv4, 'write an IPv4 address, or nothing for any');
    if (ipv6 !== '' && !net.isIPv6(ipv6)) throw invalid('ipv6', ipv6, 'write an IPv6 address, or nothing for any');
    const present = await this.#endpoint(id, network, signal);
    if (present !== undefined)
      throw new EruError('exists', `container ${id} is connected to network ${network} already`);
    if (ipv4 + ipv6 !== '') await this.#refuseTaken(network, { ipv4, ipv6 }, signal);
    const json = { Container: id, EndpointConfig: { IPAMConfig: ipamConfig({ ipv4, ipv6 }) } };
    await this.#http.json({ method: 'POST', path: `/networks/${network}/connect`, json, signal });
    const endpoint = await this.#endpoint(id, network, signal);
    const addresses = [endpoint?.IPAddress || ipv4, endpoint?.GlobalIPv6Address || ipv6];
    return addresses.filter((address) => address !== '');
  }

  async disconnect(id: string, network: string, force: boolean, signal: AbortSignal): Promise<void> {
    if ((await this.#endpoint(id, network, signal)) === undefined)
      throw new EruError('not_found', `container ${id} is not connected to network ${network}`);
    const json = { Container: id, Force: force };
    await this.#http.json({ method: 'POST', path: `/networks/${network}/disconnect`, json, signal });
  }

  async #endpoint(id: string, network: string, signal: AbortSignal): Promise<EndpointConfig | undefined> {
    const container = await inspectContainer(this.#http, id, signal);
    return container.NetworkSettings.Networks?.[network];
  }

  /** Docker reserves the address of a container that does not run only when it starts: of two, one would never. */
  async #refuseTaken(network: string, wanted: { ipv4: string; ipv6: string }, signal: AbortSignal): Promise<void> {
    const name = (await this.#http.daemon()) === 'podman' ? podmansNetwork(network) : network;
    const query = { all: true, filters: JSON.stringify({ network: [name] }) };
    const request = { method: 'GET', path: '/containers/json', query, signal } as const;
    const holders = await this.#http.json<(Pick<Container, 'NetworkSettings'> & { Names: string[] })[]>(request);
    for (const { NetworkSettings, Names } of holders) {
      const { IPAddress, GlobalIPv6Address, IPAMConfig } = NetworkSettings.Networks?.[name] ?? {};
      const held = [IPAddress, GlobalIPv6Address, IPAMConfig?.IPv4Address, IPAMConfig?.IPv6Address];
      for (const [field, address] of Object.entries(wanted)) {
        if (address === '' || !held.includes(address)) continue;
        const owner = Names[0]?.replace(/^\//, '') ?? 'another container';
        throw new EruError('busy', `${field}: ${address} of network ${network} is ${owner}'s`);
      }
    }
  }
}
