import { isIP } from 'node:net';

import type { Json, JsonObject } from '@eru/kit';
import { isJsonObject } from '@eru/kit';

import { pluginError } from './error.ts';
import { atLeast, compareVersions } from './version.ts';

/** What ADD answers (specification 1.1.0, "Success"). Keys that we do not know are kept. */
export interface CniResult {
  cniVersion: string;
  interfaces?: CniInterface[];
  ips?: CniAddress[];
  routes?: ({ dst: string; gw?: string } & JsonObject)[];
  dns?: { nameservers?: string[]; domain?: string; search?: string[]; options?: string[] };
}

export interface CniInterface {
  name: string;
  mac?: string;
  mtu?: number;
  /** Path of the network namespace that it is in; empty or absent on the host. */
  sandbox?: string;
}

export interface CniAddress {
  /** CIDR: the address and the length of its prefix. */
  address: string;
  gateway?: string;
  /** Index into `interfaces`. */
  interface?: number;
}

/** A plugin's answer, which is never believed unchecked. @throws EruError `failed` that quotes what is wrong */
export function parseResult(text: string, plugin: string, asked: string): CniResult {
  const lie = (what: string): Error => pluginError(plugin, 'ADD', { msg: `its answer is not a result: ${what}` });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw lie(text.trim() === '' ? 'it is empty' : `no JSON: ${JSON.stringify(text.slice(0, 200))}`);
  }
  if (!isJsonObject(value)) throw lie('no object');
  const { cniVersion = asked } = value;
  if (typeof cniVersion !== 'string' || !/^\d+\.\d+\.\d+$/.test(cniVersion)) throw lie('cniVersion is no version');
  const modern = compareVersions(cniVersion, '0.3.0') < 0 ? ofLegacy(value) : value;
  const interfaces = list(modern['interfaces'], 'interfaces', lie);
  for (const [index, { name }] of interfaces.entries())
    if (typeof name !== 'string' || name === '') throw lie(`interfaces[${index}] has no name`);
  for (const [index, { address, gateway, interface: of }] of list(modern['ips'], 'ips', lie).entries()) {
    if (typeof address !== 'string' || !isCidr(address)) throw lie(`ips[${index}].address is no address with a prefix`);
    if (gateway !== undefined && gateway !== '' && (typeof gateway !== 'string' || isIP(gateway) === 0))
      throw lie(`ips[${index}].gateway is no address`);
    if (of !== undefined && (typeof of !== 'number' || interfaces[of] === undefined))
      throw lie(`ips[${index}].interface names none of its ${interfaces.length} interfaces`);
  }
  for (const [index, { dst }] of list(modern['routes'], 'routes', lie).entries())
    if (typeof dst !== 'string') throw lie(`routes[${index}] has no dst`);
  return { ...modern, cniVersion } as unknown as CniResult;
}

/** The same result as another version says it: before 1.0.0 each address says its family. */
export function convertResult(result: CniResult, version: string): CniResult {
  const { ips, ...rest } = result;
  if (ips === undefined) return { ...rest, cniVersion: version };
  const converted = ips.map((entry) => {
    const { version: _family, ...address } = entry as CniAddress & { version?: string };
    if (atLeast(version, '1.0.0')) return address;
    return { version: address.address.includes(':') ? '6' : '4', ...address };
  });
  return { ...rest, cniVersion: version, ips: converted };
}

/** The addresses on the interface `ifname` of a sandbox, which is what others may see of the workload. */
export function addressesOf({ interfaces = [], ips = [] }: CniResult, ifname: string): CniAddress[] {
  return ips.filter(({ interface: of }) => {
    const on = of === undefined ? undefined : interfaces[of];
    return on !== undefined && on.name === ifname && on.sandbox !== undefined && on.sandbox !== '';
  });
}

/** `ip4` and `ip6` of 0.1.0 and 0.2.0. */
function ofLegacy(value: JsonObject): JsonObject {
  const { ip4, ip6, ...rest } = value;
  const ips: Json[] = [];
  const routes: Json[] = [];
  for (const family of [ip4, ip6]) {
    if (!isJsonObject(family)) continue;
    const { ip, gateway, routes: own } = family;
    ips.push({ address: ip ?? null, ...(gateway !== undefined && { gateway }) });
    if (Array.isArray(own)) routes.push(...own);
  }
  return { ...rest, ips, ...(routes.length > 0 && { routes }) };
}

function list(value: Json | undefined, key: string, lie: (what: string) => Error): JsonObject[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every(isJsonObject)) throw lie(`${key} is no list of objects`);
  return value;
}

function isCidr(text: string): boolean {
  const [address = '', length = '', ...more] = text.split('/');
  const family = isIP(address);
  return family !== 0 && more.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= (family === 4 ? 32 : 128);
}
