import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { Clock, Logger, Random } from '@eru/kit';
import { Closer, isEruError, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { openEmbeddedStore, type Store } from '@eru/store';

import { Cni } from '../cni/cni.ts';
import { canonical } from '../ipam/address.ts';
import { Allocator } from '../ipam/allocator.ts';
import { encode, keys } from '../ipam/records.ts';
import { ViewCache } from '../ipam/view-cache.ts';
import { declaredFolder, Intents } from './intents.ts';
import { Namespaces } from './namespaces.ts';
import { Netd } from './netd.ts';
import { Networks } from './networks.ts';
import type { NodeRecord } from './routes.ts';
import { Sandboxes } from './sandboxes.ts';

export interface NetdOptions {
  /** This node's state: attachments and plugins' results, and all of it where `store` is absent. */
  folder: string;
  /** Where the named namespaces are; default `/run/eru/netns`. */
  namespaceFolder?: string;
  /** The cluster's store; it is not closed with us. Absent: this node is the cluster. */
  store?: Store;
  node: string;
  /** Where other nodes reach this one, for routes to its blocks. */
  addresses?: readonly string[];
  /** Where CNI plugins lie; default the usual places. */
  pluginFolders?: readonly string[];
  /** Of one call of a plugin; default 60 s. */
  pluginTimeoutMs?: number;
  /** Between two rounds of the reconciler; default one minute. */
  roundMs?: number;
  /** Tells one boot of the machine from another; default the kernel's. */
  bootId?: string;
  clock?: Clock;
  random?: Random;
  logger?: Logger;
}

export const defaultPluginFolders = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'] as const;
export const defaultNamespaceFolder = '/run/eru/netns';

/** A node's network daemon, in this process. What an earlier one left half done is ended before it is open. */
export async function openNetd(options: NetdOptions): Promise<Netd> {
  const closer = new Closer();
  try {
    const local = await openEmbeddedStore({ folder: path.join(options.folder, 'state') });
    closer.add('local store', () => local.close());
    const full = { clock: systemClock, random: systemRandom, logger: silentLogger, store: local, ...options };
    const { store, node, clock, logger } = full;
    const cache = store === local ? undefined : new ViewCache(local, logger);
    if (cache !== undefined) closer.add('copy of the network', () => cache.settled());
    const allocator = await Allocator.open({ ...full, cache });
    closer.add('allocator', () => allocator.close());
    const { pluginFolders = defaultPluginFolders, namespaceFolder = defaultNamespaceFolder } = options;
    const cni = new Cni({
      pluginFolders,
      ...(options.pluginTimeoutMs !== undefined && { timeoutMs: options.pluginTimeoutMs }),
      cacheFolder: path.join(options.folder, 'cni'),
      clock,
    });
    const namespaces = new Namespaces(namespaceFolder);
    const networks = new Networks(store, allocator);
    const bootId = options.bootId ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const sandboxes = await Sandboxes.open({
      local,
      allocator,
      cni,
      namespaces,
      network: (name) => networks.wanted(name),
      bootId,
      clock,
      logger,
    });
    const intents = await Intents.open({
      local,
      folder: declaredFolder(options.folder),
      allocator,
      sandboxes,
      network: (name) => networks.wanted(name),
      clock,
    });
    const compared = {
      store,
      allocator,
      cni,
      namespaces,
      sandboxes,
      intents,
      clock,
      network: (name: string) => networks.find(name),
    };
    if (options.addresses !== undefined) {
      const record: NodeRecord = { addresses: options.addresses.map((address) => canonical('addresses', address)) };
      await store
        .txn({ then: [{ op: 'put', key: keys.node(node), value: encode(record) }] })
        .catch(unlessSilent(logger, 'other nodes are told of the address of this one at its next start'));
    }
    const netd = new Netd({
      allocator,
      sandboxes,
      networks,
      compared,
      about: { node, folder: path.resolve(options.folder), namespaceFolder, pluginFolders },
      logger,
      closer,
      clock,
      roundMs: options.roundMs ?? 60_000,
    });
    await netd.begin();
    await endEarlierBoot({ local, allocator, sandboxes, bootId, logger }).catch(
      unlessSilent(logger, 'what was bound before this boot is unbound later'),
    );
    return netd;
  } catch (error) {
    await closer.close();
    throw error;
  }
}

/** A store that does not answer keeps nobody from starting. */
function unlessSilent(logger: Logger, consequence: string): (error: unknown) => void {
  return (error) => {
    if (!isEruError(error, 'unavailable') && !isEruError(error, 'timeout')) throw error;
    logger.warn({ err: error }, `the store is silent: ${consequence}`);
  };
}

/** Nothing is on a live interface after a boot, whoever bound it: other runtimes do not tell us of theirs. */
async function endEarlierBoot(parts: {
  local: Store;
  allocator: Allocator;
  sandboxes: Sandboxes;
  bootId: string;
  logger: Logger;
}): Promise<void> {
  const { local, allocator, sandboxes, bootId, logger } = parts;
  const known = await local.get('boot');
  if (known !== undefined && Buffer.from(known.value).toString() === bootId) return;
  const here = new Set(sandboxes.list().map(({ owner }) => owner));
  for (const { owner, ifname, node, state } of allocator.view.reservations()) {
    if (node !== allocator.node || state !== 'bound' || here.has(owner)) continue;
    await allocator.unbind(owner, ifname);
    logger.info({ owner, ifname }, 'an address that was bound before the last boot is unbound');
  }
  await local.txn({ then: [{ op: 'put', key: 'boot', value: Buffer.from(bootId) }] });
}
