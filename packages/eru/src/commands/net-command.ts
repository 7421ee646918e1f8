import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import path from 'node:path';

import { loadConnection, loadOutput, type Context } from '@eru/cli';
import { EruError, invalid, isJsonObject, parseConfig, parseDuration } from '@eru/kit';
import { networkQuestions } from '@eru/engines';
import {
  connectNetd,
  DockerClient,
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

/** Where to ask: at a socket of this machine, or through core at a node. */
export interface WhereFlags extends SocketFlags {
  node?: string;
}

/** What a network daemon can be asked from afar, too. */
type Questions = Pick<NetworkService, (typeof networkQuestions)[number]>;

export interface NetdFlags extends SocketFlags {
  store: string;
  node?: string;
  address?: string[];
  plugins?: string[];
  pluginTimeout?: string;
  namespaces?: string;
  docker?: string | true;
  detach?: boolean;
}

export const defaultDockerSocket = '/var/run/docker.sock';

export async function listNetworks(context: Context, flags: WhereFlags): Promise<undefined> {
  const [networks, pools] = await asked(context, flags, (service) =>
    Promise.all([service.networks({}, context.signal), service.pools({}, context.signal)]),
  );
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
  if (subnets.length === 0 && flags.plugins === undefined)
    throw new EruError('invalid', '--subnet: a network needs addresses, such as --subnet 10.8.0.0/24');
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
  const { say } = await loadOutput();
  say(context, `network ${name}: ${subnets.join(', ') || 'addresses by its plugins'}`);
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

export async function listAddresses(context: Context, flags: WhereFlags, word?: string): Promise<number> {
  const found = await asked(context, flags, (service) => reservationsOf(service, word, context.signal));
  await showReservations(context, found);
  // For scripts that ask about one.
  return word !== undefined && found.length === 0 ? 4 : 0;
}

/** Of an address, an owner, the beginning of an id as Docker shows it, or a container by its name. */
async function reservationsOf(
  service: Questions,
  word: string | undefined,
  signal: AbortSignal,
): Promise<Reservation[]> {
  if (word === undefined) return service.reservations({}, signal);
  if (isIP(word) !== 0) return service.reservations({ ip: word }, signal);
  const owned = await service.reservations({ owner: word }, signal);
  if (owned.length > 0) return owned;
  if (/^[0-9a-f]{4,}$/.test(word)) {
    const begun = (await service.reservations({}, signal)).filter(({ owner }) => owner.startsWith(word));
    if (begun.length > 0) return begun;
  }
  return 'intents' in service ? reservationsOfContainer(service as NetworkService, word, signal) : [];
}

/** Where a dockerd answers, of its container of this name. */
async function reservationsOfContainer(
  service: NetworkService,
  name: string,
  signal: AbortSignal,
): Promise<Reservation[]> {
  const path = `/containers/${encodeURIComponent(name)}/json`;
  const known = await new DockerClient(defaultDockerSocket).get(path, signal).catch(() => undefined);
  if (!isJsonObject(known) || typeof known['Id'] !== 'string') return [];
  const [intent] = await service.intents({ container: known['Id'] }, signal);
  return [...(intent?.reservations ?? [])];
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
  const released = await daemon(context, flags).release({ owner, ifname, lost }, context.signal);
  const { say } = await loadOutput();
  if (released.length === 0 && context.globals.output === 'table')
    say(context, `${owner} holds nothing; who does: eru net ip`);
  else await showReservations(context, released);
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

export async function diagnoseNetwork(context: Context, flags: WhereFlags & { fix?: boolean }): Promise<number> {
  const { say, showList, table } = await loadOutput();
  const findings = await asked(context, flags, async (service) => {
    // Nothing is ended on one observation, so it takes two.
    for (let round = 0; flags.fix === true && round < 2; round++)
      for (const { text } of await service.reconcile({}, context.signal)) say(context, `repaired: ${text}`);
    return service.diagnose({}, context.signal);
  });
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

/** Of a node through core, where one is named; else of this machine. */
async function asked<T>(
  context: Context,
  { node, socket }: WhereFlags,
  work: (service: Questions) => Promise<T>,
): Promise<T> {
  if (node === undefined) return work(daemon(context, socket === undefined ? {} : { socket }));
  if (socket !== undefined) throw invalid('--socket', socket, 'leave it out: core knows how to reach a node');
  const { withConnection } = await loadConnection();
  return withConnection(context, ({ eru }) => {
    const questions = networkQuestions.map((verb) => [
      verb,
      async (request: object = {}, signal?: AbortSignal) => {
        const call = { node, verb, request: JSON.stringify(request) };
        const { answer } = await eru.askNetwork(call, signal === undefined ? {} : { signal });
        return JSON.parse(answer) as unknown;
      },
    ]);
    return work(Object.fromEntries(questions) as unknown as Questions);
  });
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
          shortId(owner),
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

/** As Docker shows ids. */
function shortId(owner: string): string {
  return owner.replace(/[0-9a-f]{64}$/, (id) => id.slice(0, 12));
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
