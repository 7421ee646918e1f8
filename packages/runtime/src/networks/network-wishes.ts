import { wantedAddresses, type WorkloadSpec } from '@eru/engines';
import { EruError, invalid } from '@eru/kit';
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import path from 'node:path';

/** An interface that a workload has whenever it runs. */
export interface InterfaceWish {
  readonly network: string;
  readonly ifname: string;
  /** One, or one of each family with a comma; empty = any. */
  readonly ip: string;
}

/** Where a process's sockets are: on the host, in an empty namespace, in one by path, or in one with interfaces of our networks. */
export type NetworkPlace = 'host' | 'none' | 'path' | 'networks';

export function networkPlace({ networks }: Pick<WorkloadSpec, 'networks'>): NetworkPlace {
  const [first = 'host'] = Object.keys(networks);
  if (first === 'host' || first === 'none') return first;
  return path.isAbsolute(first) ? 'path' : 'networks';
}

/** Refuses what can be refused without asking anybody. */
export function checkNetworks({ networks }: Pick<WorkloadSpec, 'networks'>): void {
  const names = Object.keys(networks);
  const alone = names.find((name) => name === 'host' || name === 'none' || path.isAbsolute(name));
  if (alone !== undefined && names.length > 1)
    throw invalid('networks', names.join(', '), `${alone} goes with no other network`);
  for (const [name, ip] of Object.entries(networks)) {
    // Of a replaced workload's state: `host` with the host's own address.
    if (name === 'host' || ip === '') continue;
    if (name === alone) throw invalid('networks', `${name}=${ip}`, `${name} gives no addresses; leave ${ip} out`);
    wantedAddresses(name, ip);
  }
  if (alone !== undefined && path.isAbsolute(alone)) checkNamespace(alone);
}

/** A file that a network namespace is mounted on. Device numbers tell kernel files of this kind from others. */
export function checkNamespace(file: string): void {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined || found.dev !== statSync('/proc/self/ns/net').dev)
    throw new EruError(
      'not_found',
      `networks: ${file} is no network namespace; make one (ip netns add NAME makes /run/netns/NAME)`,
    );
}

/**
 * The interfaces of a new workload. Those on networks of the one that it succeeds have the same names, for what is handed over is
 * an interface's.
 */
export function wishesOf(spec: WorkloadSpec, before: readonly InterfaceWish[] = []): InterfaceWish[] {
  if (networkPlace(spec) !== 'networks') return [];
  const names = Object.keys(spec.networks);
  const kept = new Map(before.filter(({ network }) => names.includes(network)).map((one) => [one.network, one.ifname]));
  const wishes: InterfaceWish[] = [];
  for (const [network, ip] of Object.entries(spec.networks)) {
    const ifname = kept.get(network) ?? freeName([...kept.values(), ...wishes.map((wish) => wish.ifname)]);
    wishes.push({ network, ifname, ip });
  }
  return wishes.toSorted((a, b) => (a.ifname < b.ifname ? -1 : 1));
}

export function freeName(used: readonly string[]): string {
  let index = 0;
  while (used.includes(`eth${index}`)) index += 1;
  return `eth${index}`;
}

/** Names of owners have 80 characters; what is longer ends in a digest. */
export function ownerOf(name: string): string {
  if (name.length <= 80) return name;
  return `${name.slice(0, 63)}-${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}
