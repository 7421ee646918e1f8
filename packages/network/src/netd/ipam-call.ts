import type { Json, JsonObject } from '@eru/kit';
import { EruError, isJsonObject } from '@eru/kit';

import { cniCodes } from '../cni/error.ts';
import { supportedVersions } from '../cni/version.ts';
import { convertResult } from '../cni/result.ts';
import { formatAddress } from '../ipam/address.ts';
import type { Allocator } from '../ipam/allocator.ts';
import type { Reservation } from '../ipam/records.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { IpamAnswer } from './service.ts';

export interface IpamCall {
  command: 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';
  containerId: string;
  ifname: string;
  /** `CNI_ARGS`. */
  args: string;
  /** Standard input: the main plugin's whole configuration. */
  config: JsonObject;
}

interface Context {
  allocator: Allocator;
  network: (name: string) => NetworkDefinition | undefined;
  signal: AbortSignal | undefined;
}

/**
 * One call of the IPAM plugin `eru-ipam`, for runtimes that are not ours. Its owner is `OWNER` of `CNI_ARGS` or the
 * container's id; ADD reserves and binds, DEL only unbinds (a runtime calls it at stop too): who wants the address back
 * releases the owner, or gives the pool an `idleMs`. `ipam.policy: ephemeral` in the configuration makes DEL release.
 */
export async function answerIpam(call: IpamCall, context: Context): Promise<IpamAnswer> {
  const version = typeof call.config['cniVersion'] === 'string' ? call.config['cniVersion'] : '0.3.0';
  try {
    const result = await run(call, context, version);
    return { code: 0, output: result === undefined ? '' : JSON.stringify(result) };
  } catch (error) {
    const { code, message } = EruError.from(error);
    return {
      code: 1,
      output: JSON.stringify({ cniVersion: version, code: codeFor(code, call.command), msg: message }),
    };
  }
}

async function run(
  call: IpamCall,
  { allocator, network, signal }: Context,
  version: string,
): Promise<object | undefined> {
  const { command, containerId, ifname, config } = call;
  if (command === 'VERSION') return { cniVersion: version, supportedVersions };
  if (!supportedVersions.some((one) => one === version))
    throw new EruError(
      'unsupported',
      `cniVersion: ${version} is not supported; write one of ${supportedVersions.join(', ')}`,
    );
  const ipam = isJsonObject(config['ipam']) ? config['ipam'] : {};
  const name = textOf(ipam['network']) || textOf(config['name']);
  const pools = Array.isArray(ipam['pools']) ? ipam['pools'].map(String) : (network(name)?.pools ?? []);
  const args = new Map(
    call.args
      .split(';')
      .map((pair): [string, string] => [pair.split('=')[0] ?? '', pair.split('=').slice(1).join('=')]),
  );
  const owner = args.get('OWNER') ?? containerId;
  const mine = (): Reservation[] =>
    allocator.view
      .reservations()
      .filter((one) => one.kind === 'foreign' && one.network === name && one.node === allocator.node);
  switch (command) {
    case 'ADD': {
      if (pools.length === 0)
        throw new EruError(
          'invalid',
          `ipam.pools: none are named, and there is no network ${name} that has some; write "ipam": {"type": "eru-ipam", "pools": ["NAME"]}`,
        );
      const ips = wantedIps(config, args);
      const policy = ipam['policy'] === 'ephemeral' ? 'ephemeral' : 'fixed';
      const held = await allocator.reserve(
        { owner, ifname, kind: 'foreign', network: name, pools, policy, ...(ips.length > 0 && { ips }) },
        signal,
      );
      await allocator.bind(owner, ifname, { epoch: held.epoch }, signal);
      return convertResult(resultOf(held, allocator, ipam), version);
    }
    case 'DEL':
      await allocator.unbind(owner, ifname, {}, signal);
      return undefined;
    case 'CHECK': {
      const held = allocator.view.reservation(owner, ifname);
      if (held?.state === 'bound' && held.node === allocator.node) return undefined;
      throw new EruError('precondition', `${owner} (${ifname}) has no address bound on node ${allocator.node}`);
    }
    case 'GC': {
      const valid = config['cni.dev/valid-attachments'] ?? config['cni.dev/attachments'] ?? [];
      const keep = new Set(
        (valid as JsonObject[]).map((one) => `${textOf(one['containerID'])}/${textOf(one['ifname'])}`),
      );
      for (const one of mine())
        if (!keep.has(`${one.owner}/${one.ifname}`)) await allocator.unbind(one.owner, one.ifname, {}, signal);
      return undefined;
    }
    case 'STATUS':
      await allocator.probe(pools, signal);
      return undefined;
  }
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}

/** The capability wins over `CNI_ARGS`. Prefix lengths are the pool's. */
function wantedIps(config: JsonObject, args: ReadonlyMap<string, string>): string[] {
  const runtime = isJsonObject(config['runtimeConfig']) ? config['runtimeConfig']['ips'] : undefined;
  const texts = Array.isArray(runtime) ? runtime.map(String) : (args.get('IP')?.split(',') ?? []);
  return texts.filter((text) => text !== '').map((text) => text.split('/')[0] as string);
}

function resultOf(
  { addresses }: Reservation,
  { view }: Allocator,
  ipam: JsonObject,
): Parameters<typeof convertResult>[0] {
  const ips = addresses.flatMap(({ pool: name, ip }) => {
    const pool = view.pool(name);
    return pool === undefined ? [] : [{ address: `${ip}/${pool.cidr.prefix}`, gateway: formatAddress(pool.gateway) }];
  });
  const routes = Array.isArray(ipam['routes'])
    ? (ipam['routes'] as { dst: string }[])
    : addresses.map(({ ip }) => ({ dst: ip.includes(':') ? '::/0' : '0.0.0.0/0' }));
  return { cniVersion: '1.0.0', ips, routes };
}

function codeFor(code: EruError['code'], command: IpamCall['command']): number {
  if (code === 'unsupported') return cniCodes.incompatibleVersion;
  if (code === 'invalid') return cniCodes.invalidConfig;
  if (code === 'no_capacity') return command === 'STATUS' ? cniCodes.limitedConnectivity : cniCodes.internal;
  if (code === 'unavailable' || code === 'timeout')
    return command === 'STATUS' ? cniCodes.notAvailable : cniCodes.tryAgainLater;
  return cniCodes.internal;
}
