import { EruError, invalid } from '@eru/kit';

import { isName } from '../cni/names.ts';
import { checkMac } from '../ipam/address.ts';
import type { DeclareRequest } from '../netd/intent.ts';
import type { InterfaceRequest } from '../netd/sandbox.ts';

const root = 'eru.network/';

/** All words with which a container asks for a network: labels of its engine, or annotations. */
export const words = {
  fixed: 'fixed-ip',
  /** Networks, with commas between them. */
  name: `${root}name`,
  /** Addresses on the first network, with a comma between two families. */
  ip: `${root}ip`,
  mac: `${root}mac`,
  /** Whose the addresses are, so that they outlive the container. */
  owner: `${root}owner`,
  /** [IP:]HOSTPORT:PORT[/PROTOCOL], with commas between them. */
  ports: `${root}ports`,
  /** Bits per second into and out of the container. */
  ingressRate: `${root}ingress-rate`,
  egressRate: `${root}egress-rate`,
  /** Keeps namespace and interfaces over a stop. */
  keepNetns: `${root}keep-netns`,
  /** Further names in its hosts file. */
  aliases: `${root}aliases`,
} as const;

/** On containers that a proxy has created: the temporary name under which it declared them. */
export const requestLabel = `${root}request`;

type Port = NonNullable<InterfaceRequest['ports']>[number];

/** What of `DeclareRequest` a container's own words say. */
export type Wish = Pick<DeclareRequest, 'owner' | 'releasesOwner' | 'networks' | 'policy' | 'keepNetns' | 'aliases'>;

/**
 * Whether a `fixed-ip` label asks for a fixed address. As in the original: present and not off, and off is `0` and `false`,
 * as text of any case, number or boolean. Empty and null are on.
 */
export function isFixed(value: unknown): boolean {
  if (value === undefined || value === false || value === 0) return false;
  return typeof value !== 'string' || !/^(0|false)$/i.test(value);
}

/** Whether anything is asked for at all. */
export function isWish(labels: Readonly<Record<string, unknown>>): boolean {
  return isFixed(labels[words.fixed]) || Object.keys(labels).some((name) => name.startsWith(root));
}

/**
 * Reads what a container asks for. `networks` are those that there are: the only one need not be named; `ports` are published by
 * its engine's own words. @throws EruError `invalid` that names the label; `precondition` for what only a proxy's declaration says
 */
export function readWish(
  labels: Readonly<Record<string, string>>,
  { networks, ports = [], ifname }: { networks: readonly string[]; ports?: readonly Port[]; ifname?: string },
): Wish {
  if (labels[requestLabel] !== undefined)
    throw new EruError(
      'precondition',
      'it was created through a proxy that failed before its addresses were its own; remove it and create it again',
    );
  const known: string[] = Object.values(words);
  const odd = Object.keys(labels).find((name) => name.startsWith(root) && !known.includes(name));
  if (odd !== undefined)
    throw new EruError('invalid', `label ${odd} is none of ours; write one of ${known.join(', ')}`);
  const names = list(labels[words.name]);
  const ips = list(labels[words.ip]);
  const published = [...ports, ...list(labels[words.ports]).map((text) => parsePort(words.ports, text))];
  const bandwidth = bandwidthOf(labels);
  const { [words.mac]: mac, [words.owner]: owner } = labels;
  const first: InterfaceRequest = {
    network: names[0] ?? onlyOf(networks),
    ...(ifname !== undefined && { ifname }),
    ...(ips.length > 0 && { ips }),
    ...(mac !== undefined && { mac: checkMac(`label ${words.mac}`, mac) }),
    ...(published.length > 0 && { ports: published }),
    ...(bandwidth !== undefined && { bandwidth }),
  };
  // Who names an address or an owner means it for more than one start, unless it says otherwise.
  const meant = ips.length > 0 || mac !== undefined || owner !== undefined;
  const said = labels[words.fixed];
  const policy = (said === undefined ? meant : isFixed(said)) ? 'fixed' : 'ephemeral';
  return {
    networks: [first, ...names.slice(1).map((network) => ({ network }))],
    ...(owner === undefined ? sharedOwner(labels, policy) : { owner }),
    policy,
    keepNetns: isFixed(labels[words.keepNetns]),
    aliases: list(labels[words.aliases]),
  };
}

/**
 * Compose makes the next container of a service before it removes the last one; so what is kept is the service's, and goes with the last of
 * its containers. What `compose run` makes beside them is not theirs.
 */
export function sharedOwner(
  labels: Readonly<Record<string, unknown>>,
  policy: DeclareRequest['policy'],
): Pick<DeclareRequest, 'owner' | 'releasesOwner'> {
  const said = ['project', 'service', 'container-number', 'oneoff'].map((name) => labels[`com.docker.compose.${name}`]);
  const [project, service, number, oneOff] = said.map((one) => (typeof one === 'string' ? one : ''));
  const owner = `compose.${project}_${service}_${number}`;
  const whole = project !== '' && service !== '' && number !== '' && oneOff?.toLowerCase() !== 'true';
  if (policy !== 'fixed' || !whole || !isName(owner)) return {};
  return { owner, releasesOwner: true };
}

/** [IP:]HOSTPORT:PORT[/PROTOCOL]; without a HOSTPORT one is chosen. */
export function parsePort(field: string, text: string): Required<Port> {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?(\d*):(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text);
  if (match === null) throw invalid(field, text, 'write [IP:]HOSTPORT:PORT[/tcp|udp|sctp], such as 8080:80');
  const [, hostIp = '', hostPort = '', containerPort, protocol = 'tcp'] = match;
  return {
    hostIp: hostIp.replace(/[[\]]/g, ''),
    hostPort: Number(hostPort),
    containerPort: Number(containerPort),
    protocol: protocol as Required<Port>['protocol'],
  };
}

/** What images may say where they are trusted: the words of Eru, Barrel and docker-cni. */
export function labelsOfEnvironment(env: Readonly<Record<string, string>>): Record<string, string> {
  const first = (...names: string[]): string | undefined =>
    names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
  const found = {
    [words.name]: first('ERU_NETWORK', 'IPPOOL'),
    [words.ip]: first('ERU_IP', 'IPV4'),
    [words.fixed]: env['ERU_FIXED_IP'] ?? env['fixed-ip'],
  };
  return Object.fromEntries(Object.entries(found).filter((pair): pair is [string, string] => pair[1] !== undefined));
}

function onlyOf(networks: readonly string[]): string {
  const [only] = networks;
  if (only !== undefined && networks.length === 1) return only;
  const there =
    networks.length === 0
      ? 'there is none yet: eru net create NAME --subnet CIDR'
      : `there are: ${networks.toSorted().join(', ')}`;
  throw new EruError('invalid', `label ${words.name}: name the network; ${there}`);
}

function bandwidthOf(labels: Readonly<Record<string, string>>): InterfaceRequest['bandwidth'] | undefined {
  const ingress = rateOf(words.ingressRate, labels[words.ingressRate]);
  const egress = rateOf(words.egressRate, labels[words.egressRate]);
  if (ingress === undefined && egress === undefined) return undefined;
  return {
    ...(ingress !== undefined && { ingressRate: ingress, ingressBurst: burstOf(ingress) }),
    ...(egress !== undefined && { egressRate: egress, egressBurst: burstOf(egress) }),
  };
}

function rateOf(label: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const rate = Number(text);
  if (!/^\d+$/.test(text) || rate < 1 || !Number.isSafeInteger(rate))
    throw invalid(label, text, 'write whole bits per second, such as 8000000');
  return rate;
}

/** A tenth of a second's worth, and never less than some packets. */
function burstOf(rate: number): number {
  return Math.max(Math.ceil(rate / 10), 400_000);
}

function list(text: string | undefined): string[] {
  return (text ?? '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
