import { createHash } from 'node:crypto';

import type { JsonObject } from '@eru/kit';
import { EruError, stableStringify } from '@eru/kit';
import { z } from 'zod';

import type { NetworkList } from '../cni/config.ts';
import { parseNetworkList } from '../cni/config.ts';
import { formatAddress } from '../ipam/address.ts';
import type { Pool } from '../ipam/pool.ts';
import type { HeldAddress, Port } from '../ipam/records.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'write letters, digits, _, . and -, at most 63');

const rate = z.int().min(1).optional();

export const bandwidthSchema = z.strictObject({
  ingressRate: rate,
  ingressBurst: rate,
  egressRate: rate,
  egressBurst: rate,
});

/** What people write of a network. */
export const networkSchema = z
  .strictObject({
    name,
    /** Where its addresses come from: one of each family is given out, from the first pool that has room. */
    pools: z.array(name).default([]),
    /**
     * `bridge`: workloads of a node share a bridge, which has the gateway's address. `routed`: each has a cable to the host, and
     * nodes route to each other's blocks. Absent: `plugins` says it.
     */
    driver: z.enum(['bridge', 'routed']).optional(),
    /** A CNI list's plugins of your own. The first one's `ipam` is ours where the network has pools. */
    plugins: z.array(z.looseObject({ type: z.string() })).optional(),
    cniVersion: z.string().default('1.0.0'),
    /** Outgoing connections get the host's address. */
    masquerade: z.boolean().default(true),
    mtu: z.int().min(576).max(65535).optional(),
    /** Of each interface, where what is attached asks for none of its own. */
    bandwidth: bandwidthSchema.optional(),
    /** For the resolv.conf of workloads that have one of their own. */
    dns: z
      .strictObject({ nameservers: z.array(z.string()).default([]), search: z.array(z.string()).default([]) })
      .optional(),
    /** Of those who made it through Docker's API, such as compose: shown to them again. */
    labels: z.record(z.string(), z.string()).optional(),
  })
  .refine(({ driver, plugins }) => (driver === undefined) !== (plugins === undefined), {
    message: 'give either a driver (bridge, routed) or plugins',
    path: ['driver'],
  });

export type NetworkDefinition = z.infer<typeof networkSchema>;

export interface Bandwidth {
  /** Bits per second, and bits. */
  ingressRate?: number;
  ingressBurst?: number;
  egressRate?: number;
  egressBurst?: number;
}

/** The network's CNI list for one attachment, with its addresses in it. Plugins that this one does not need are left out. */
export function listFor(
  definition: NetworkDefinition,
  held: { addresses: readonly HeldAddress[]; ports: readonly Port[]; bandwidth?: Bandwidth | undefined },
  pool: (name: string) => Pool | undefined,
): Promise<NetworkList> {
  const plugins = [...(definition.plugins ?? ownPlugins(definition, held))] as JsonObject[];
  const [first] = plugins;
  if (first !== undefined && definition.pools.length > 0)
    plugins[0] = { ...first, ipam: staticIpam(first['ipam'] as JsonObject | undefined, held.addresses, pool) };
  const list = { cniVersion: definition.cniVersion, name: definition.name, plugins };
  return parseNetworkList(JSON.stringify(list), `network ${definition.name}`);
}

/** File names of the plugins that every attachment needs. */
export function pluginsNeeded(definition: NetworkDefinition): string[] {
  const own = [definition.driver === 'bridge' ? 'bridge' : 'ptp'];
  const types = definition.plugins?.map(({ type }) => type) ?? own;
  return [...new Set([...types, ...(definition.pools.length > 0 ? ['static'] : [])])];
}

/** Whether the network's first plugin can set a MAC, so that one is reserved. */
export function setsMac({ driver, plugins }: NetworkDefinition): boolean {
  if (plugins === undefined) return driver === 'bridge';
  const capabilities = plugins[0]?.['capabilities'] as { mac?: boolean } | undefined;
  return capabilities?.mac === true;
}

/** Tells two definitions apart. */
export function digestOf(definition: NetworkDefinition): string {
  return createHash('sha256').update(stableStringify(definition)).digest('hex').slice(0, 16);
}

function ownPlugins(
  { name, driver, mtu }: NetworkDefinition,
  { ports, bandwidth }: { ports: readonly Port[]; bandwidth?: Bandwidth | undefined },
): JsonObject[] {
  const common: JsonObject = mtu === undefined ? {} : { mtu };
  const main: JsonObject =
    driver === 'bridge'
      ? {
          type: 'bridge',
          bridge: bridgeName(name),
          isGateway: true,
          hairpinMode: true,
          capabilities: { mac: true },
          ...common,
        }
      : { type: 'ptp', ...common };
  return [
    main,
    ...(ports.length > 0 ? [{ type: 'portmap', snat: true, capabilities: { portMappings: true } }] : []),
    ...(bandwidth === undefined ? [] : [{ type: 'bandwidth', capabilities: { bandwidth: true } }]),
  ];
}

/** Interface names have 15 characters; two long names must not share a bridge. */
export function bridgeName(network: string): string {
  if (network.length <= 11) return `eru-${network}`;
  return `eru-${createHash('sha256').update(network).digest('hex').slice(0, 11)}`;
}

function staticIpam(
  given: JsonObject | undefined,
  addresses: readonly HeldAddress[],
  find: (name: string) => Pool | undefined,
): JsonObject {
  const entries = addresses.map(({ pool: name, ip }) => {
    const pool = find(name);
    if (pool === undefined) throw new EruError('not_found', `there is no pool ${name} any more, which ${ip} is from`);
    return { address: `${ip}/${pool.cidr.prefix}`, gateway: formatAddress(pool.gateway) };
  });
  const families = addresses.map(({ ip }) => (ip.includes(':') ? '::/0' : '0.0.0.0/0'));
  return { routes: families.map((dst) => ({ dst })), ...given, type: 'static', addresses: entries };
}
