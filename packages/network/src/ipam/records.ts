import { EruError, isJsonObject } from '@eru/kit';
import type { KeyValue } from '@eru/store';

import type { PoolDefinition } from './pool.ts';
import { formatAddress, parseAddress } from './address.ts';

/** `manual`: made by hand, and ended by hand. `foreign`: another runtime's, which tells us nothing but by its CNI calls. */
export type WorkloadKind = 'container' | 'vm' | 'process' | 'manual' | 'foreign';

export interface Port {
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly hostPort: number;
  readonly containerPort: number;
  /** Empty = all of the host's addresses. */
  readonly hostIp: string;
}

/** What an owner holds on one interface: its addresses, MAC and published ports live and die together. */
export interface Reservation {
  /** A workload's identity, which outlives the container that it runs in. */
  readonly owner: string;
  readonly ifname: string;
  readonly kind: WorkloadKind;
  readonly network: string;
  /** At most one of each family. */
  readonly addresses: readonly HeldAddress[];
  readonly mac?: string;
  readonly ports: readonly Port[];
  /** Somebody asked for these very addresses. */
  readonly pinned: boolean;
  /** `fixed` outlives a stop, `ephemeral` is released by it. */
  readonly policy: 'fixed' | 'ephemeral';
  /** `bound`: it may be on a live interface. */
  readonly state: 'reserved' | 'bound';
  /** Where it is bound, or was last. */
  readonly node: string;
  /** Raised by each transfer; whoever acts on an older one is too late. */
  readonly epoch: number;
  /** Once bound, addresses rest in quarantine after their release. */
  readonly wasBound: boolean;
  /** Wall clock, milliseconds. */
  readonly createdAt: number;
  /** Since when it is not bound. */
  readonly idleSince?: number;
  /** A temporary owner's: released by itself then. */
  readonly expiresAt?: number;
  /** Which change wrote this: tells a lost reply's own write from somebody else's. */
  readonly change: string;
}

export interface HeldAddress {
  readonly pool: string;
  readonly ip: string;
}

/** What is at an address's key. An absent key is a free address. */
export type AddressRecord =
  | { readonly state: 'held'; readonly owner: string; readonly ifname: string; readonly change: string }
  | { readonly state: 'quarantined'; readonly owner: string; readonly until: number; readonly change: string };

/** What is at the key of a MAC. */
export interface Holder {
  readonly owner: string;
  readonly ifname: string;
  readonly change: string;
}

/** What is at the key of a port: several may hold it on different addresses of the host. */
export interface PortRecord {
  readonly holders: readonly (Holder & { readonly hostIp: string })[];
}

/** What is at the key of a pool. One that is being removed gives out nothing more. */
export interface PoolRecord {
  readonly definition: PoolDefinition;
  readonly draining?: boolean;
  readonly change: string;
}

/** A part of a pool that a node takes its addresses from. */
export interface BlockRecord {
  readonly node: string;
  readonly cidr: string;
}

/** Keys of the network in the store. */
export const keys = {
  root: 'network/',
  pool: (pool: string) => `network/pools/${pool}`,
  network: (network: string) => `network/networks/${network}`,
  node: (node: string) => `network/nodes/${node}`,
  reservation: (owner: string, ifname: string) => `network/reservations/${owner}/${ifname}`,
  /** A pool of nodes' scope has its addresses once per node. */
  address: (realm: string, ip: string) => `network/addresses/${realm}/${sortable(ip)}`,
  mac: (mac: string) => `network/macs/${mac}`,
  port: (node: string, { protocol, hostPort }: Pick<Port, 'protocol' | 'hostPort'>) =>
    `network/ports/${node}/${protocol}/${String(hostPort).padStart(5, '0')}`,
  block: (pool: string, first: string) => `network/blocks/${pool}/${sortable(first)}`,
} as const;

/** Hexadecimal of fixed length, so that keys are in the order of addresses. */
function sortable(ip: string): string {
  const { family, value } = parseAddress('address', ip);
  return value.toString(16).padStart(family === 4 ? 8 : 32, '0');
}

/** The last part of an address's or block's key as text. */
export function addressOfKey(key: string): { parent: string; ip: string; value: bigint } {
  const [, , parent = '', digits = ''] = key.split('/');
  const value = BigInt(`0x${digits}`);
  return { parent, ip: formatAddress({ family: digits.length === 8 ? 4 : 6, value }), value };
}

export function encode(record: object): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

export function decode<T>({ key, value }: Pick<KeyValue, 'key' | 'value'>): T {
  const record: unknown = JSON.parse(Buffer.from(value).toString('utf8'));
  if (!isJsonObject(record)) throw new EruError('failed', `${key} in the store is no record of ours`);
  return record as T;
}
