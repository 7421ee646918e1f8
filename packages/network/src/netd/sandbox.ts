import { z } from 'zod';

import { addressesOf, type CniResult } from '../cni/result.ts';
import type { Port, WorkloadKind } from '../ipam/records.ts';
import type { ReserveRequest } from '../ipam/allocator.ts';
import type { Bandwidth, NetworkDefinition } from './network-definition.ts';
import { bandwidthSchema, setsMac } from './network-definition.ts';

const text = z.string().min(1);

const portSchema = z.strictObject({
  containerPort: z.int(),
  hostPort: z.int().optional(),
  protocol: z.enum(['tcp', 'udp', 'sctp']).optional(),
  hostIp: z.string().optional(),
});

export const interfaceSchema = z.strictObject({
  network: text,
  /** Absent: the first of eth0, eth1, … that is free. */
  ifname: text.optional(),
  ips: z.array(text).optional(),
  mac: text.optional(),
  ports: z.array(portSchema).optional(),
  /** Absent: the network's. */
  bandwidth: bandwidthSchema.optional(),
});

/** An interface as it is asked for. */
export type InterfaceRequest = z.infer<typeof interfaceSchema>;

export const kindSchema = z.enum(['container', 'vm', 'process', 'manual']);

export const attachSchema = z.strictObject({
  /** The runtime's name of what gets the interfaces: a container id. */
  id: text,
  /** Whose the addresses are: a workload's identity. Absent: `id`. */
  owner: text.optional(),
  kind: kindSchema,
  networks: z.array(interfaceSchema).min(1),
  /** The namespace of this process gets the interfaces, and no new one. */
  pid: z.int().min(1).optional(),
  /** Of addresses that the owner does not hold yet. */
  policy: z.enum(['fixed', 'ephemeral']).default('ephemeral'),
});

export type AttachRequest = z.input<typeof attachSchema>;

export const connectSchema = z.strictObject({
  id: text,
  network: interfaceSchema,
  policy: z.enum(['fixed', 'ephemeral']).default('ephemeral'),
});

/** What an interface's reservation is asked for. */
export function reserveRequest(
  definition: NetworkDefinition,
  who: { owner: string; kind: WorkloadKind; policy: 'fixed' | 'ephemeral' },
  { network, ips, mac, ports, ifname = 'eth0' }: InterfaceRequest,
): ReserveRequest {
  return {
    ...who,
    ifname,
    network,
    pools: definition.pools,
    ips,
    ports,
    mac: mac ?? (setsMac(definition) ? 'auto' : undefined),
  };
}

/** A network namespace of a workload, and its interfaces. */
export interface Sandbox {
  readonly id: string;
  readonly owner: string;
  readonly kind: WorkloadKind;
  /** What was decided; it is on disk before the first effect. */
  readonly state: 'attaching' | 'attached' | 'detaching';
  /** Path of the namespace. */
  readonly netns: string;
  /** Its inode number, once it is made. */
  readonly inode?: string;
  readonly bootId: string;
  readonly interfaces: readonly AttachedInterface[];
  readonly createdAt: number;
  /** Why it could not be detached yet. */
  readonly lastError?: string;
}

export interface AttachedInterface {
  readonly network: string;
  readonly ifname: string;
  readonly state: 'attaching' | 'attached' | 'detaching';
  /** With prefix length. */
  readonly addresses: readonly { readonly address: string; readonly gateway?: string }[];
  readonly mac?: string;
  readonly ports: readonly Port[];
  readonly bandwidth?: Bandwidth;
  /** Of its reservation; absent where the network's own IPAM gives addresses. */
  readonly epoch?: number;
  /** The network's definition by which it was made. */
  readonly digest: string;
  readonly dns?: { readonly nameservers: readonly string[]; readonly search: readonly string[] };
}

/** What ADD said of an interface. */
export function seenIn(result: CniResult, ifname: string): Pick<AttachedInterface, 'addresses' | 'mac'> {
  const { mac } = result.interfaces?.find(({ name, sandbox = '' }) => name === ifname && sandbox !== '') ?? {};
  const addresses = addressesOf(result, ifname).map(({ address, gateway }) => ({
    address,
    ...(gateway !== undefined && { gateway }),
  }));
  return { addresses, ...(mac !== undefined && { mac }) };
}

/** An interface name for each request that has none. */
export function nameInterfaces<T extends { ifname?: string | undefined }>(
  requests: readonly T[],
  used: readonly string[],
): (T & { ifname: string })[] {
  const names = new Set([...used, ...requests.flatMap(({ ifname }) => ifname ?? [])]);
  return requests.map((request) => {
    if (request.ifname !== undefined) return { ...request, ifname: request.ifname };
    let index = 0;
    while (names.has(`eth${index}`)) index += 1;
    names.add(`eth${index}`);
    return { ...request, ifname: `eth${index}` };
  });
}
