import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rmdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import { Closer, EruError, invalid, readIfExists, writeFileAtomic, type Logger } from '@eru/kit';
import {
  connectNetd,
  defaultNetdSocket,
  NetdWhenAsked,
  openNetd,
  serveContainers,
  serveIpam,
  serveNetd,
  type Netd,
} from '@eru/network';
import type { NetworkDaemon } from '@eru/runtime';
import type { Store } from '@eru/store';

import type { DataFolder } from '../data-folder.ts';

export interface NodeNetworkOptions {
  data: DataFolder;
  /** `auto`: a network daemon in this process, `none`, or the `unix://` socket of one that runs apart. */
  netd: string;
  /** Where addresses are the whole cluster's, who this node is there, and where others reach it. Absent: they are this node's alone. */
  cluster?: { store: Store; node: string; address: string };
  /** Socket of the dockerd whose containers may be on our networks too. */
  docker: string | undefined;
  logger: Logger;
}

/** What the node daemon needs of networks; nothing is opened, asked or made before somebody asks for one. */
export async function openNodeNetworks({
  data,
  netd,
  cluster,
  docker,
  logger,
}: NodeNetworkOptions): Promise<{ daemon: NetworkDaemon | undefined; close(): Promise<void> }> {
  if (netd === 'none') return { daemon: undefined, close: async () => {} };
  if (netd.startsWith('unix:///'))
    return { daemon: { service: connectNetd(netd.slice('unix://'.length)) }, close: async () => {} };
  if (netd !== 'auto') throw invalid('--netd', netd, 'write auto, none, or unix:///SOCKET of an `eru netd`');
  const at = { socket: data.netdSocket, logger };
  /** Other runtimes' ways in. */
  let doors = new Closer();
  const late = new NetdWhenAsked(async () => {
    const opened = await openOwn(data, cluster, logger);
    const opening = new Closer();
    try {
      const plugins = await serveIpam(opened, at);
      opening.add('IPAM plugin', () => plugins.close());
      const containers = await serveContainers({ netd: opened, ...(docker !== undefined && { docker }), ...at });
      opening.add('containers', () => containers.close());
    } catch (error) {
      await opening.close();
      await opened.close();
      throw error;
    }
    doors = opening;
    return opened;
  });
  const daemon = { service: late.service, addSource: late.addSource.bind(late) };
  if (process.getuid?.() !== 0) return { daemon, close: () => late.close() };
  const socket = await serveNetd(late.service, at);
  // What an earlier one has attached wants to be looked after.
  if (existsSync(data.network))
    await late.open().catch((error: unknown) => logger.error({ err: error }, 'networks cannot be had now'));
  const close = async (): Promise<void> => {
    await doors.close();
    await socket.close();
    await late.close();
    for (const folder of [namespacesOf(data), path.dirname(namespacesOf(data))]) await rmdir(folder).catch(() => {}); // It is there no more, or somebody's namespace is in it.
  };
  return { daemon, close };
}

/** The socket that commands of this data folder ask. */
export function netdSocketOf(dataFolder: string): string {
  const own = path.join(dataFolder, 'netd.sock');
  return existsSync(own) ? own : defaultNetdSocket;
}

async function openOwn(data: DataFolder, cluster: NodeNetworkOptions['cluster'], logger: Logger): Promise<Netd> {
  if (process.getuid?.() !== 0)
    throw new EruError('unsupported', 'networks: only root can make network namespaces; run Eru as root, or use host');
  await mkdir(data.network, { recursive: true, mode: 0o700 });
  return openNetd({
    folder: data.network,
    namespaceFolder: namespacesOf(data),
    node: cluster?.node ?? (await ownName(data)),
    logger,
    ...(cluster !== undefined && { store: cluster.store, addresses: [cluster.address] }),
  });
}

/** Two data folders on one machine must not take each other's namespaces for nobody's. */
function namespacesOf({ root }: DataFolder): string {
  return `/run/eru/${createHash('sha256').update(path.resolve(root)).digest('hex').slice(0, 8)}/netns`;
}

/** Under what name this node holds addresses, whatever the host is called later. */
async function ownName({ network }: DataFolder): Promise<string> {
  const file = path.join(network, 'node');
  const known = (await readIfExists(file))?.trim() ?? '';
  if (known !== '') return known;
  const name = hostname();
  await writeFileAtomic(file, `${name}\n`);
  return name;
}
