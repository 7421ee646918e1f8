import path from 'node:path';
import { hostname } from 'node:os';

import type { Context } from '@eru/cli';
import { createLogger, parseDuration } from '@eru/kit';
import { defaultNetdSocket, openNetd, serveContainers, serveIpam, serveNetd } from '@eru/network';

import { openEtcd } from '../daemons.ts';
import { openDataFolder } from '../data-folder.ts';
import { defaultDockerSocket, type NetdFlags } from './net-command.ts';
import { serveDetached, serveUntilStopped } from './serve-until-stopped.ts';
import { parseEtcdUrl } from '../settings/store-url.ts';

export async function netdCommand(context: Context, flags: NetdFlags): Promise<number> {
  const data = await openDataFolder(context.globals.data);
  if (flags.detach === true) return serveDetached(context, 'the network daemon', path.join(data.root, 'netd.log'));
  const logger = createLogger();
  return serveUntilStopped(context, async (closer) => {
    const store =
      flags.store === 'embedded'
        ? undefined
        : // What this node has may be started again while it is silent.
          await openEtcd({ ...(await parseEtcdUrl(flags.store, context.env)), mayBeSilent: true }, logger);
    if (store !== undefined) closer.add('store', () => store.close());
    const netd = await openNetd({
      folder: data.network,
      node: flags.node ?? hostname(),
      logger,
      ...(store !== undefined && { store }),
      ...(flags.address !== undefined && { addresses: flags.address }),
      ...(flags.plugins !== undefined && { pluginFolders: flags.plugins }),
      ...(flags.pluginTimeout !== undefined && {
        pluginTimeoutMs: parseDuration(flags.pluginTimeout, '--plugin-timeout'),
      }),
      ...(flags.namespaces !== undefined && { namespaceFolder: path.resolve(flags.namespaces) }),
    });
    closer.add('netd', () => netd.close());
    const at = { socket: flags.socket ?? defaultNetdSocket, logger };
    const serving = await serveNetd(netd, at);
    closer.add('socket', () => serving.close());
    const plugin = await serveIpam(netd, at);
    closer.add('IPAM plugin', () => plugin.close());
    if (flags.docker === undefined) return;
    const docker = flags.docker === true ? defaultDockerSocket : path.resolve(flags.docker);
    const containers = await serveContainers({ netd, docker, ...at });
    closer.add('containers', () => containers.close());
  });
}
