import { isIP } from 'node:net';

import type { IntentStatus, NetworkStatus, PoolStatus, Subnet } from '@eru/network';
import { canonical, cidrAt, contains, formatAddress, formatCidr, parseAddress, parseCidr } from '@eru/network';
import { EruError, invalid, isJsonObject, parseJsonObject, type JsonObject } from '@eru/kit';

import { notesLabel, readNotes, withoutNotes, writeNotes } from './docker-notes.ts';
import { canonicalFields, objectAt, textAt } from './exact-json.ts';
import { endpointId, networkId } from './known-networks.ts';

/** The drivers of `docker network create` that make a network of ours. */
const drivers: Readonly<Record<string, string>> = { eru: 'bridge', 'eru-routed': 'routed' };

/** Whether a request for a network is for one of ours. */
export function isOurDriver(driver: unknown): driver is string {
  return typeof driver === 'string' && Object.hasOwn(drivers, driver);
}

/** As `GET /networks/ID` tells of it. `names`: of containers, by id. */
export function showNetwork(
  { definition, cidrs }: NetworkStatus,
  pools: readonly PoolStatus[],
  intents: readonly IntentStatus[],
  names: ReadonlyMap<string, string> = new Map(),
): JsonObject {
  const { name, driver, labels = {}, mtu } = definition;
  const { created = '0001-01-01T00:00:00Z', auxiliary = {} } = readNotes(labels) ?? {};
  const own = pools.filter((pool) => definition.pools.includes(pool.definition.name));
  return {
    Name: name,
    Id: networkId(name),
    Created: created,
    Scope: 'local',
    Driver: driver === 'routed' ? 'eru-routed' : 'eru',
    EnableIPv6: cidrs.some((cidr) => cidr.includes(':')),
    IPAM: {
      Driver: 'default',
      Options: null,
      Config: own.map(({ definition: { cidr, gateway, ranges = [] } }) => {
        const range = ranges.length === 1 ? cidrOfRange(ranges[0] as string) : undefined;
        const aux = Object.entries(auxiliary).filter(([, ip]) => isIn(cidr, ip));
        return {
          Subnet: cidr,
          ...(range !== undefined && { IPRange: range }),
          Gateway: gateway ?? firstOf(cidr),
          ...(aux.length > 0 && { AuxiliaryAddresses: Object.fromEntries(aux) }),
        };
      }),
    },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: Object.fromEntries(intents.flatMap((intent) => attachedTo(name, intent, names))),
    Options: mtu === undefined ? {} : { [mtuOption]: String(mtu) },
    Labels: withoutNotes(labels),
  };
}

function isIn(cidr: string, ip: string): boolean {
  return contains(parseCidr('cidr', cidr), parseAddress('ip', ip));
}

/** A pool's gateway where none is said. */
function firstOf(cidr: string): string {
  const { family, first } = parseCidr('cidr', cidr);
  return formatAddress({ family, value: first + 1n });
}

/** Docker's `IPRange` as a pool's range. @throws EruError `invalid` */
function rangeOfCidr(text: string): string {
  const { family, first, last } = parseCidr('IPAM.Config.IPRange', text);
  return [first, last].map((value) => formatAddress({ family, value })).join('-');
}

/** A pool's range as Docker's `IPRange`; undefined for one that is no network. */
function cidrOfRange(range: string): string | undefined {
  const [first, last] = range.split('-').map((text) => parseAddress('ranges', text.trim()));
  if (first === undefined || last === undefined) return undefined;
  for (let prefix = 0; prefix <= (first.family === 4 ? 32 : 128); prefix++) {
    const cidr = cidrAt(first, prefix);
    if (cidr.first === first.value && cidr.last === last.value) return formatCidr(cidr);
  }
  return undefined;
}

function attachedTo(
  network: string,
  { container, sandbox }: IntentStatus,
  names: ReadonlyMap<string, string>,
): [string, JsonObject][] {
  const one = sandbox?.interfaces.find((candidate) => candidate.network === network && candidate.state === 'attached');
  if (sandbox === null || one === undefined) return [];
  const [four = '', six = ''] = [4, 6].map(
    (family) => one.addresses.find(({ address }) => isIP(address.split('/')[0] ?? '') === family)?.address,
  );
  const entry = {
    Name: names.get(container) ?? '',
    EndpointID: endpointId(sandbox.netns, sandbox.inode, one.ifname),
    MacAddress: one.mac ?? '',
    IPv4Address: four,
    IPv6Address: six,
  };
  return [[container, entry]];
}

/** Whether `GET /networks?filters=` asks for this one, by what Docker filters on. */
export function matchesFilters(
  network: JsonObject,
  filters: ReadonlyMap<string, readonly string[]>,
  used: boolean,
): boolean {
  const any = (name: string, test: (value: string) => boolean): boolean => {
    const values = filters.get(name);
    return values === undefined || values.some(test);
  };
  const labels = network['Labels'] as Record<string, string>;
  return (
    any('name', (value) => matches(textAt(network, 'Name'), value)) &&
    any('id', (value) => matches(textAt(network, 'Id'), value)) &&
    any('driver', (value) => value === network['Driver']) &&
    any('scope', (value) => value === 'local') &&
    any('type', (value) => value === 'custom') &&
    any('dangling', (value) => ['1', 'true'].includes(value.toLowerCase()) !== used) &&
    hasLabels(labels, filters.get('label') ?? [])
  );
}

/** Whether `POST /networks/prune?filters=` means this one, if nobody uses it. */
export function matchesPrune(
  network: JsonObject,
  filters: ReadonlyMap<string, readonly string[]>,
  nowMs: number,
): boolean {
  const labels = network['Labels'] as Record<string, string>;
  const unwanted = filters.get('label!') ?? [];
  const [until] = filters.get('until') ?? [];
  return (
    hasLabels(labels, filters.get('label') ?? []) &&
    (unwanted.length === 0 || !hasLabels(labels, unwanted)) &&
    (until === undefined || Date.parse(textAt(network, 'Created')) <= untilMs(until, nowMs))
  );
}

/** All of these, `KEY` or `KEY=VALUE`. */
function hasLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((value) => {
    const [key = '', ...rest] = value.split('=');
    return Object.hasOwn(labels, key) && (rest.length === 0 || labels[key] === rest.join('='));
  });
}

/** Docker's moments: seconds since 1970, a date, or how long ago (`24h`, `1h30m`). NaN, before which nothing is, for what is none. */
function untilMs(text: string, nowMs: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return Date.parse(text);
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const ago = [...text.matchAll(/([\d.]+)(ms|s|m|h)/g)];
  return ago.reduce((at, [, count, unit = '']) => at - Number(count) * (units[unit] as number), nowMs);
}

/** A part of the text, with `^` at its start and `$` at its end, as people use Docker's regular expressions. */
function matches(text: string, pattern: string): boolean {
  const [, start, part = '', end] = /^(\^?)(.*?)(\$?)$/s.exec(pattern) ?? [];
  if (start !== '' && end !== '') return text === part;
  if (start !== '') return text.startsWith(part);
  return end !== '' ? text.endsWith(part) : text.includes(part);
}

/** `filters=` in both of its forms: `{"name": ["a"]}` and `{"name": {"a": true}}`. Undefined when it is neither. */
export function parseFilters(text: string | null): Map<string, string[]> | undefined {
  if (text === null || text === '') return new Map();
  const value = parseJsonObject(text);
  if (value === undefined) return undefined; // dockerd says what is wrong with it.
  const entries = Object.entries(value).map(([name, values]): [string, string[]] => [
    name,
    Array.isArray(values) ? values.map(String) : isJsonObject(values) ? Object.keys(values) : [],
  ]);
  return new Map(entries);
}

/** A request to create a network of ours, for netd. @throws EruError `invalid` that names the field */
export function createdNetwork(
  body: JsonObject,
  nowMs: number,
): { network: { name: string } & JsonObject; subnets: Subnet[] } {
  const { Name: name = '' } = body;
  if (typeof name !== 'string') throw invalid('Name', JSON.stringify(name), 'write a name');
  for (const flag of ['Internal', 'ConfigOnly', 'Ingress'])
    if (body[flag] === true) throw invalid(flag, true, 'a network of Eru cannot be that; leave it out');
  const options = objectAt(body, 'Options', 'the request');
  const unknown = Object.keys(options).find((option) => option !== mtuOption);
  if (unknown !== undefined) throw invalid('Options', unknown, `only ${mtuOption} is understood`);
  const mtu = options[mtuOption];
  const labels = objectAt(body, 'Labels', 'the request');
  if (Object.hasOwn(labels, notesLabel)) throw invalid('Labels', notesLabel, 'that one is kept by Eru; take another');
  const ipam = objectAt(body, 'IPAM', 'the request');
  const configs = ipam['Config'] ?? [];
  if (!Array.isArray(configs) || configs.length === 0)
    throw new EruError('invalid', 'IPAM.Config: a network of Eru needs a subnet, such as --subnet 10.8.0.0/24');
  const subnets = configs.map(subnetOf);
  const auxiliary = Object.assign({}, ...configs.filter(isJsonObject).map(auxiliaryOf)) as Record<string, string>;
  return {
    network: {
      name,
      driver: drivers[textAt(body, 'Driver')] as string,
      labels: { ...labels, ...writeNotes({ created: new Date(nowMs).toISOString(), auxiliary }) },
      ...(mtu !== undefined && { mtu: Number(mtu) }),
    },
    subnets,
  };
}

function subnetOf(config: unknown): Subnet {
  if (!isJsonObject(config)) throw invalid('IPAM.Config', JSON.stringify(config), 'write {"Subnet": …}');
  canonicalFields(config, ['Subnet', 'Gateway', 'IPRange', 'AuxiliaryAddresses'], 'IPAM.Config');
  const { Subnet: cidr } = config;
  // compose writes null for what it does not say.
  const [gateway, range] = [config['Gateway'] ?? '', config['IPRange'] ?? ''];
  if (typeof cidr !== 'string' || typeof gateway !== 'string')
    throw invalid('IPAM.Config.Subnet', JSON.stringify(cidr), 'write a network such as 10.8.0.0/24');
  if (typeof range !== 'string')
    throw invalid('IPAM.Config.IPRange', JSON.stringify(range), 'write a part of the subnet');
  const taken = Object.values(auxiliaryOf(config));
  return {
    cidr,
    ...(gateway !== '' && { gateway }),
    ...(range !== '' && { ranges: [rangeOfCidr(range)] }),
    ...(taken.length > 0 && { exclude: taken }),
  };
}

/** `{"printer": "10.8.0.9"}` @throws EruError `invalid` for what is no address of the subnet */
function auxiliaryOf(config: JsonObject): Record<string, string> {
  const given = Object.entries(objectAt(config, 'AuxiliaryAddresses', 'IPAM.Config'));
  return Object.fromEntries(
    given.map(([name, value]) => {
      const field = `IPAM.Config.AuxiliaryAddresses ${name}`;
      const ip = canonical(field, typeof value === 'string' ? value : JSON.stringify(value));
      if (!isIn(textAt(config, 'Subnet'), ip)) throw invalid(field, ip, `write one of ${textAt(config, 'Subnet')}`);
      return [name, ip];
    }),
  );
}

const mtuOption = 'com.docker.network.driver.mtu';
