import type { IntentStatus, NetworkStatus, Port } from '@eru/network';
import { isJsonObject, type Json, type JsonObject } from '@eru/kit';

import { endpointId, networkId, pick } from './known-networks.ts';

/** Of one interface: as it is while attached, and as it is reserved while not. */
interface Shown {
  readonly network: string;
  /** With prefix length. */
  readonly addresses: readonly { readonly address: string; readonly gateway: string }[];
  readonly mac: string;
  readonly ports: readonly Port[];
  /** Empty while it is not attached. */
  readonly endpoint: string;
  /** What was asked for. */
  readonly ips: readonly string[];
  readonly fixed: boolean;
}

/** `GET /containers/ID/json` as if Docker had attached it. */
export function showInspected(
  document: JsonObject,
  intent: IntentStatus,
  networks: readonly NetworkStatus[],
): JsonObject {
  const shown = shownOf(intent, networks);
  const settings = isJsonObject(document['NetworkSettings']) ? document['NetworkSettings'] : {};
  return {
    ...document,
    HostConfig: withMode(document['HostConfig'], shown),
    NetworkSettings: {
      ...settings,
      ...(intent.sandbox !== null && {
        SandboxKey: intent.sandbox.netns,
        Ports: portMap(document, shown),
      }),
      Networks: Object.fromEntries(shown.map((one) => [one.network, endpointOf(one, namesOf(intent))])),
    },
  };
}

/** One entry of `GET /containers/json`. `exposes`: ports of a running one, `80/tcp`. */
export function showListed(
  entry: JsonObject,
  intent: IntentStatus,
  networks: readonly NetworkStatus[],
  exposes: readonly string[] = [],
): JsonObject {
  const shown = shownOf(intent, networks);
  const settings = isJsonObject(entry['NetworkSettings']) ? entry['NetworkSettings'] : {};
  const published: JsonObject[] = shown.flatMap(({ ports, endpoint }) =>
    endpoint === '' ? [] : ports.flatMap((port) => hostIps(port).map((IP) => listedPort(port, IP))),
  );
  const exposed = exposes
    .map((port) => ({ PrivatePort: Number.parseInt(port, 10), Type: port.split('/')[1] ?? 'tcp' }))
    .filter((one) => !published.some((port) => port['PrivatePort'] === one.PrivatePort && port['Type'] === one.Type));
  return {
    ...entry,
    Ports: [...exposed, ...published],
    HostConfig: withMode(entry['HostConfig'], shown),
    NetworkSettings: {
      ...settings,
      Networks: Object.fromEntries(shown.map((one) => [one.network, endpointOf(one, namesOf(intent))])),
    },
  };
}

/** Docker's name for where it is attached: that of its first interface. */
function withMode(host: Json | undefined, shown: readonly Shown[]): JsonObject {
  const mode = shown[0]?.network;
  return { ...(isJsonObject(host) ? host : {}), ...(mode !== undefined && { NetworkMode: mode }) };
}

function shownOf(
  { networks: wanted, sandbox, reservations, policy }: IntentStatus,
  known: readonly NetworkStatus[],
): Shown[] {
  return wanted.map(({ network, ifname, ips = [], mac = '' }) => {
    const live = sandbox?.interfaces.find((one) => one.ifname === ifname && one.state === 'attached');
    const held = reservations.find((one) => one.ifname === ifname);
    const cidrs = pick(known, network)?.cidrs ?? [];
    const reserved = held?.addresses.map(({ ip }) => ({ address: `${ip}/${prefixOf(ip, cidrs)}`, gateway: '' })) ?? [];
    return {
      network,
      addresses: live?.addresses.map(({ address, gateway = '' }) => ({ address, gateway })) ?? reserved,
      mac: live?.mac ?? held?.mac ?? mac,
      ports: live?.ports ?? held?.ports ?? [],
      endpoint: live === undefined ? '' : endpointId(sandbox?.netns ?? '', sandbox?.inode, ifname),
      ips,
      fixed: policy === 'fixed',
    };
  });
}

function endpointOf({ network, addresses, mac, endpoint, ips, fixed }: Shown, aliases: readonly string[]): JsonObject {
  const [four, six] = [false, true].map((wide) => addresses.find(({ address }) => address.includes(':') === wide));
  const [ip = '', prefix = '0'] = four?.address.split('/') ?? [];
  const [ip6 = '', prefix6 = '0'] = six?.address.split('/') ?? [];
  // What stays over a stop is shown as what was configured.
  const kept = fixed ? [ip, ip6].filter((one) => one !== '') : ips;
  return {
    IPAMConfig: kept.length === 0 ? null : ipamOf(kept),
    Links: null,
    Aliases: [...aliases],
    NetworkID: networkId(network),
    EndpointID: endpoint,
    Gateway: endpoint === '' ? '' : (four?.gateway ?? ''),
    IPAddress: ip,
    IPPrefixLen: Number(prefix),
    IPv6Gateway: endpoint === '' ? '' : (six?.gateway ?? ''),
    GlobalIPv6Address: ip6,
    GlobalIPv6PrefixLen: Number(prefix6),
    MacAddress: mac,
    DriverOpts: null,
  };
}

/** As Docker, with the short id: compose looks for it. */
function namesOf({ aliases, container }: IntentStatus): string[] {
  return [...new Set([...aliases, container.slice(0, 12)])];
}

function ipamOf(ips: readonly string[]): JsonObject {
  return Object.fromEntries(ips.map((ip) => [ip.includes(':') ? 'IPv6Address' : 'IPv4Address', ip]));
}

/** `{"80/tcp": [{HostIp, HostPort}]}`, with what is only exposed. */
function portMap(document: JsonObject, shown: readonly Shown[]): JsonObject {
  const config = isJsonObject(document['Config']) ? document['Config'] : {};
  const exposed = isJsonObject(config['ExposedPorts']) ? Object.keys(config['ExposedPorts']) : [];
  const map: Record<string, JsonObject[] | null> = Object.fromEntries(exposed.map((key) => [key, null]));
  for (const port of shown.flatMap(({ ports }) => ports)) {
    const key = `${port.containerPort}/${port.protocol}`;
    const bindings = hostIps(port).map((HostIp) => ({ HostIp, HostPort: String(port.hostPort) }));
    map[key] = [...(map[key] ?? []), ...bindings];
  }
  return map;
}

function listedPort({ containerPort, hostPort, protocol }: Port, IP: string): JsonObject {
  return { IP, PrivatePort: containerPort, PublicPort: hostPort, Type: protocol };
}

function hostIps({ hostIp }: Port): string[] {
  return [hostIp === '' ? '0.0.0.0' : hostIp];
}

function prefixOf(ip: string, cidrs: readonly string[]): string {
  const same = cidrs.find((cidr) => cidr.includes(':') === ip.includes(':'));
  return same?.split('/')[1] ?? (ip.includes(':') ? '128' : '32');
}
