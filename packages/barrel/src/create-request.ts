import type { Intent, NetworkStatus } from '@eru/network';
import { canonical, checkMac, isFixed, sharedOwner } from '@eru/network';
import { EruError, invalid, isJsonObject, type JsonObject } from '@eru/kit';

import { canonicalFields, objectAt } from './exact-json.ts';
import { isBuiltIn, pick } from './known-networks.ts';
import { labelWishes, type LabelWishes } from './labels.ts';
import { portsOf } from './port-bindings.ts';

type Wanted = Omit<Intent['networks'][number], 'ifname'>;

/** What netd is told of a container that is created. */
export interface Declared {
  readonly owner?: string;
  readonly releasesOwner?: boolean;
  readonly policy: Intent['policy'];
  readonly networks: readonly Wanted[];
  readonly aliases: string[];
  readonly keepNetns: boolean;
}

export interface CreateRules {
  /** Name of the OCI runtime that attaches containers. */
  readonly runtime: string;
  /** For containers with the label `fixed-ip` that name no network. */
  readonly defaultNetwork?: string | undefined;
}

/** Fields of a request to create, and where they are, as far as they mean something here. */
const fields = {
  body: ['HostConfig', 'NetworkingConfig', 'Labels', 'MacAddress', 'ExposedPorts', 'Image'],
  hostConfig: ['NetworkMode', 'Runtime', 'PortBindings', 'PublishAllPorts'],
  networking: ['EndpointsConfig'],
  endpoint: ['IPAMConfig', 'MacAddress', 'Aliases'],
  ipam: ['IPv4Address', 'IPv6Address', 'LinkLocalIPs'],
} as const;

/** The networks that a request to create names, Docker's or ours: the main one first. Gives its fields their documented case. */
export function namedNetworks(body: JsonObject, { defaultNetwork }: Pick<CreateRules, 'defaultNetwork'>): string[] {
  canonicalFields(body, fields.body, 'the request');
  const host = objectAt(body, 'HostConfig', 'the request');
  canonicalFields(host, fields.hostConfig, 'HostConfig');
  const networking = objectAt(body, 'NetworkingConfig', 'the request');
  canonicalFields(networking, fields.networking, 'NetworkingConfig');
  const plain = ['', 'default', 'bridge'];
  const endpoints = Object.keys(objectAt(networking, 'EndpointsConfig', 'NetworkingConfig'));
  const mode = host['NetworkMode'] ?? '';
  if (typeof mode !== 'string') throw invalid('HostConfig.NetworkMode', JSON.stringify(mode), 'write a name');
  const labels = objectAt(body, 'Labels', 'the request');
  const byLabel = isFixed(labels['fixed-ip']) && [mode, ...endpoints].every((name) => plain.includes(name));
  if (byLabel && defaultNetwork !== undefined) return [defaultNetwork];
  return [...new Set([mode, ...endpoints])].filter((name) => name !== '' && name !== 'default');
}

/** Whether netd has to be asked at all. */
export function mayBeOurs(named: readonly string[]): boolean {
  return named.some((name) => !isBuiltIn(name));
}

/**
 * What a request asks of our networks; undefined when it names none. Of the request, never of the image: an image must not
 * take an address. @throws EruError `invalid` that names the field
 */
export function declaredBy(
  body: JsonObject,
  named: readonly string[],
  networks: readonly NetworkStatus[],
  { runtime }: CreateRules,
  imagePorts: readonly string[],
): Declared | undefined {
  const ours = named.filter((name) => pick(networks, name) !== undefined);
  if (ours.length === 0) return undefined;
  const foreign = named.find((name) => !ours.includes(name));
  if (foreign !== undefined)
    throw new EruError('invalid', `network ${foreign} is Docker's and ${ours[0]} is Eru's; a container is on one kind`);
  const host = body['HostConfig'] as JsonObject;
  const asked = host['Runtime'] ?? '';
  if (asked !== '' && asked !== runtime)
    throw invalid('HostConfig.Runtime', asked, `a network of Eru needs the runtime ${runtime}; leave it out`);
  const first = pick(networks, ours[0] as string) as NetworkStatus;
  const labels = labelWishes(body['Labels'] as JsonObject, first.definition.name);
  const mac = body['MacAddress'] ?? '';
  const main = {
    labels,
    mac: typeof mac === 'string' && mac !== '' ? checkMac('MacAddress', mac) : labels.mac,
    ports: [...portsOf(body, imagePorts), ...labels.ports],
  };
  const endpoints = (body['NetworkingConfig'] as JsonObject)['EndpointsConfig'] as JsonObject;
  const wanted = ours.map((name, index): Wanted => {
    const { definition } = pick(networks, name) as NetworkStatus;
    const endpoint = objectAt(endpoints, name, 'EndpointsConfig');
    return endpointWish(definition.name, endpoint, index === 0 ? main : undefined);
  });
  const pinned = wanted.some(({ ips = [] }) => ips.length > 0);
  // Who asks for an address means to keep it, unless he says otherwise.
  const policy = (labels.fixed ?? (pinned || labels.owner !== undefined)) ? 'fixed' : 'ephemeral';
  const { owner, releasesOwner } = sharedOwner(body['Labels'] as JsonObject, policy);
  return {
    ...(labels.owner !== undefined && { owner: labels.owner }),
    ...(labels.owner === undefined && owner !== undefined && { owner, releasesOwner: releasesOwner === true }),
    policy,
    networks: wanted,
    aliases: [...new Set([...ours.flatMap((name) => aliasesOf(endpoints[name])), ...labels.aliases])],
    keepNetns: labels.keepNetns,
  };
}

/** The same container for dockerd: on no network of its own, run by our runtime. What is published stays, for `inspect`. */
export function withoutNetwork(body: JsonObject, { runtime }: CreateRules, labels: Record<string, string>): JsonObject {
  const { MacAddress: _ours, ...rest } = body;
  return {
    ...rest,
    Labels: { ...(body['Labels'] as JsonObject), ...labels },
    HostConfig: { ...(body['HostConfig'] as JsonObject), NetworkMode: 'none', Runtime: runtime },
    NetworkingConfig: { ...(body['NetworkingConfig'] as JsonObject), EndpointsConfig: {} },
  };
}

/** What an endpoint's configuration asks, at creation or at connect. @throws EruError `invalid` */
export function endpointWish(
  network: string,
  endpoint: JsonObject,
  main?: { labels: LabelWishes; mac: string | undefined; ports: Wanted['ports'] },
): Wanted {
  const where = `the endpoint of ${network}`;
  canonicalFields(endpoint, fields.endpoint, where);
  const ipam = isJsonObject(endpoint['IPAMConfig'] ?? {}) ? ((endpoint['IPAMConfig'] ?? {}) as JsonObject) : {};
  canonicalFields(ipam, fields.ipam, `${where}: IPAMConfig`);
  const links = ipam['LinkLocalIPs'] ?? [];
  if (!Array.isArray(links) || links.length > 0)
    throw invalid(`${where}: LinkLocalIPs`, JSON.stringify(links), 'there are none here; leave them out');
  const pinned = (['IPv4Address', 'IPv6Address'] as const).flatMap((name) => {
    const value = ipam[name] ?? '';
    if (typeof value !== 'string') throw invalid(`${where}: ${name}`, JSON.stringify(value), 'write an address');
    return value === '' ? [] : [canonical(`${where}: ${name}`, value)];
  });
  const ips = byLabel(pinned, main?.labels.ips ?? []);
  const own = endpoint['MacAddress'] ?? '';
  const mac = typeof own === 'string' && own !== '' ? checkMac(`${where}: MacAddress`, own) : main?.mac;
  const ports = main?.ports ?? [];
  return {
    network,
    ...(ips.length > 0 && { ips }),
    ...(mac !== undefined && { mac }),
    ...(ports.length > 0 && { ports }),
    ...(main?.labels.bandwidth !== undefined && { bandwidth: main.labels.bandwidth }),
  };
}

/** Aliases that are names of hosts; others would be refused. */
export function aliasesOf(endpoint: unknown): string[] {
  const aliases = isJsonObject(endpoint) ? endpoint['Aliases'] : undefined;
  if (!Array.isArray(aliases)) return [];
  return aliases.filter((alias): alias is string => typeof alias === 'string' && /^[A-Za-z0-9_.-]+$/.test(alias));
}

function byLabel(pinned: string[], labelled: readonly string[]): string[] {
  if (labelled.length === 0) return pinned;
  const other = pinned.find((ip) => !labelled.includes(ip));
  if (other !== undefined)
    throw invalid('label eru.network/ip', labelled.join(','), `the request asks for ${other}; write one of the two`);
  return [...labelled];
}
