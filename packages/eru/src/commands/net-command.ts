import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';

import { loadOutput, type Context } from '@eru/cli';
import { EruError, invalid, parseConfig, parseDuration } from '@eru/kit';
import {
  connectNetd,
  ipamScript,
  parsePort,
  putNetworkOn,
  removeNetworkAndPools,
  type NetworkService,
  type Reservation,
} from '@eru/network';
import { z } from 'zod';

import { netdSocketOf } from '../node/node-networks.ts';

export interface SocketFlags {
  socket?: string;
}

export interface NetdFlags extends SocketFlags {
  store: string;
  node?: string;
  address?: string[];
  plugins?: string[];
  pluginTimeout?: string;
  namespaces?: string;
  docker?: string | true;
}

export const defaultDockerSocket = '/var/run/docker.sock';

export async function listNetworks(context: Context, flags: SocketFlags): Promise<undefined> {
  const service = daemon(context, flags);
  const [networks, pools] = await Promise.all([
    service.networks({}, context.signal),
    service.pools({}, context.signal),
  ]);
  const { showList, table } = await loadOutput();
  const fullness = (names: readonly string[]): string =>
    pools
      .filter(({ definition }) => names.includes(definition.name))
      .map(
        ({ bound, reserved, quarantined, capacity }) =>
          `${bound} bound, ${reserved} reserved, ${quarantined} resting of ${capacity}`,
      )
      .join('; ');
  await showList(context, networks, {
    plain: ({ definition }) => ({
      ...definition,
      pools: pools.filter((pool) => definition.pools.includes(pool.definition.name)),
    }),
    name: ({ definition }) => definition.name,
    table: (items, colors) =>
      table(
        ['NAME', 'DRIVER', 'SUBNETS', 'ADDRESSES'],
        items.map(({ definition: { name, driver, plugins = [], pools: names }, cidrs }) => [
          name,
          driver ?? plugins.map(({ type }) => type).join('+'),
          cidrs.join(', '),
          fullness(names),
        ]),
        colors,
      ),
  });
}

interface CreateFlags extends SocketFlags {
  subnet?: string[];
  driver: string;
  gateway?: string[];
  exclude?: string[];
  scope: string;
  quarantine: string;
  masquerade: boolean;
  mtu?: string;
  rate?: string;
  dns?: string[];
  plugins?: string;
}

/** The CNI IPAM plugin, to be written into a folder of plugins. */
export async function printPlugin(
  { stdout, globals }: Context,
  { socket = netdSocketOf(globals.data) }: SocketFlags,
): Promise<undefined> {
  stdout.write(ipamScript(path.resolve(socket)));
}

/** One pool for each subnet, named after network and family. */
export async function createNetwork(context: Context, flags: CreateFlags, name: string): Promise<undefined> {
  const { subnet: subnets = [], gateway: gateways = [], exclude = [], mtu, masquerade, rate, dns } = flags;
  const six = (text: string): boolean => text.includes(':');
  const how = flags.plugins === undefined ? { driver: flags.driver } : await pluginsOf(flags.plugins);
  await putNetworkOn(
    daemon(context, flags),
    {
      name,
      masquerade,
      ...(mtu !== undefined && { mtu: Number(mtu) }),
      ...(rate !== undefined && { bandwidth: bandwidthOf(rate) }),
      ...(dns !== undefined && { dns: { nameservers: dns } }),
      ...how,
    },
    subnets.map((cidr) => ({
      cidr,
      exclude: exclude.filter((one) => six(one) === six(cidr)),
      gateway: gateways.find((one) => six(one) === six(cidr)),
    })),
    { scope: flags.scope, quarantineMs: parseDuration(flags.quarantine, '--quarantine') },
    context.signal,
  );
}

/** The same both ways; a tenth of a second of it may come at once. */
function bandwidthOf(text: string): Record<string, number> {
  const match = /^(\d+(?:\.\d+)?)([KMG]?)$/i.exec(text);
  const [, number, unit = ''] = match ?? [];
  const rate = Math.round(Number(number) * 1000 ** ['', 'K', 'M', 'G'].indexOf(unit.toUpperCase()));
  if (match === null || rate < 1000) throw invalid('--rate', text, 'write bits per second, from 1K: 500K, 100M, 1G');
  const burst = Math.max(80_000, Math.round(rate / 10));
  return { ingressRate: rate, ingressBurst: burst, egressRate: rate, egressBurst: burst };
}

export async function removeNetwork(context: Context, flags: SocketFlags, name: string): Promise<undefined> {
  await removeNetworkAndPools(daemon(context, flags), name, context.signal);
}

export async function listAddresses(context: Context, flags: SocketFlags, word?: string): Promise<number> {
  const asked = word === undefined ? {} : isIP(word) === 0 ? { owner: word } : { ip: word };
  const found = await daemon(context, flags).reservations(asked, context.signal);
  await showReservations(context, found);
  // For scripts that ask about one.
  return word !== undefined && found.length === 0 ? 4 : 0;
}

interface ReserveFlags extends SocketFlags {
  network: string;
  ifname: string;
  ip?: string[];
  mac?: string;
  publish?: string[];
}

export async function reserveAddress(context: Context, flags: ReserveFlags, owner: string): Promise<undefined> {
  const { network, ifname, ip: ips, mac, publish } = flags;
  const one = { network, ifname, ips, mac, ports: publish?.map((text) => parsePort('--publish', text)) };
  await showReservations(context, [
    await daemon(context, flags).reserve({ owner, kind: 'manual', network: one }, context.signal),
  ]);
}

export async function releaseOwner(
  context: Context,
  flags: SocketFlags & { ifname?: string; lost?: boolean },
  owner: string,
): Promise<undefined> {
  const { ifname, lost } = flags;
  await showReservations(context, await daemon(context, flags).release({ owner, ifname, lost }, context.signal));
}

export async function transferOwner(
  context: Context,
  flags: SocketFlags & { lost?: boolean },
  from: string,
  to: string,
): Promise<undefined> {
  await showReservations(
    context,
    await daemon(context, flags).transfer({ from, to, lost: flags.lost }, context.signal),
  );
}

interface AttachFlags extends SocketFlags {
  network: string[];
  owner?: string;
  ip?: string[];
  publish?: string[];
  fixed?: boolean;
}

export async function attachNamespace(context: Context, flags: AttachFlags, id: string): Promise<undefined> {
  const { owner, ip: ips, publish, fixed } = flags;
  const networks = flags.network.map((network, index) =>
    index === 0 ? { network, ips, ports: publish?.map((text) => parsePort('--publish', text)) } : { network },
  );
  const sandbox = await daemon(context, flags).attach(
    { id, owner, kind: 'manual', networks, policy: fixed === true ? 'fixed' : 'ephemeral' },
    context.signal,
  );
  const { show } = await loadOutput();
  await show(context, sandbox, { plain: (one) => one, name: ({ netns }) => netns, table: ({ netns }) => netns });
}

export async function detachNamespace(context: Context, flags: SocketFlags, id: string): Promise<undefined> {
  await daemon(context, flags).detach({ id }, context.signal);
}

export async function diagnoseNetwork(context: Context, flags: SocketFlags & { fix?: boolean }): Promise<number> {
  const service = daemon(context, flags);
  const { say, showList, table } = await loadOutput();
  // Nothing is ended on one observation, so it takes two.
  const repairs =
    flags.fix === true
      ? [...(await service.reconcile({}, context.signal)), ...(await service.reconcile({}, context.signal))]
      : [];
  for (const { text } of repairs) say(context, `repaired: ${text}`);
  const findings = await service.diagnose({}, context.signal);
  if (findings.length === 0 && context.globals.output === 'table') say(context, 'reserved, attached and real agree');
  else
    await showList(context, findings, {
      plain: (finding) => finding,
      name: ({ key }) => key,
      table: (all, colors) =>
        table(
          ['LEVEL', 'WHAT'],
          all.map(({ level, text }) => [level, text]),
          colors,
        ),
    });
  return findings.some(({ level }) => level === 'fault') ? 1 : 0;
}

function daemon({ globals }: Context, { socket = netdSocketOf(globals.data) }: SocketFlags): NetworkService {
  return connectNetd(socket);
}

async function showReservations(context: Context, reservations: readonly Reservation[]): Promise<void> {
  const { showList, table } = await loadOutput();
  const shownPort = ({ hostIp, hostPort, containerPort, protocol }: Reservation['ports'][number]): string =>
    `${hostIp}${hostIp === '' ? '' : ':'}${hostPort}->${containerPort}/${protocol}`;
  await showList(context, reservations, {
    plain: ({ change: _internal, ...reservation }) => reservation,
    name: ({ addresses }) => addresses.map(({ ip }) => ip).join('\n'),
    table: (items, colors) =>
      table(
        ['OWNER', 'IFNAME', 'NETWORK', 'ADDRESSES', 'MAC', 'PORTS', 'STATE', 'NODE'],
        items.map(({ owner, ifname, network, addresses, mac = '', ports, policy, state, node }) => [
          owner,
          ifname,
          network,
          addresses.map(({ ip }) => ip).join(', '),
          mac,
          ports.map(shownPort).join(', '),
          `${state}, ${policy}`,
          node,
        ]),
        colors,
      ),
  });
}

async function pluginsOf(file: string): Promise<{ plugins: unknown; cniVersion?: unknown }> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw invalid('--plugins', file, `it cannot be read: ${EruError.from(cause).message}`);
  });
  const schema = z.looseObject({
    plugins: z.array(z.looseObject({ type: z.string() })),
    cniVersion: z.string().optional(),
  });
  const { plugins, cniVersion } = parseConfig(text, file, schema);
  return { plugins, ...(cniVersion !== undefined && { cniVersion }) };
}
