import { startAgent } from '@eru/agent';
import type { Core as CoreClient } from '@eru/client';
import { serve, type ServerTls } from '@eru/contract';
import { coreServices, startCore } from '@eru/core';
import { connectEngine, createEngines } from '@eru/engines';
import { Closer, EruError, isEruError, systemClock, systemRandom, type Logger } from '@eru/kit';
import { createProcessEngine, serveRuntime } from '@eru/runtime';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openEmbeddedStore, openEtcdStore, type Store } from '@eru/store';

import type { Credential, DataFolder } from './data-folder.ts';
import { reachableAddress } from './reachable.ts';
import { parseEtcdUrl } from './store-url.ts';
import { version } from './version.ts';

/** A part that runs in this process. Closing it never touches a workload. */
export interface Daemon {
  close(): Promise<void>;
}

/** The node daemon: the process engine behind a unix socket. */
export async function runRuntime(options: {
  folder: string;
  socket: string;
  strict: boolean;
  logger: Logger;
}): Promise<Daemon & { missing: string[]; offers: string[] }> {
  const { folder, socket, strict, logger } = options;
  return opened(async (closer) => {
    const engine = await createProcessEngine({
      folder,
      clock: systemClock,
      random: systemRandom,
      logger,
      unenforced: strict ? 'refuse' : 'allow',
    });
    closer.add('process engine', () => engine.close());
    const serving = await serveRuntime({ socket, engine, logger });
    closer.add('runtime socket', () => serving.close());
    const { missing, offers } = await engine.info();
    return { missing, offers };
  });
}

/** A daemon of what `open` opens; closed again when a step of it fails. */
async function opened<T>(open: (closer: Closer) => Promise<T>): Promise<T & Daemon> {
  const closer = new Closer();
  try {
    return { ...(await open(closer)), close: () => closer.close() };
  } catch (error) {
    await closer.close();
    throw error;
  }
}

/** `embedded` (in the data folder), or an etcd as `parseEtcdUrl` reads it. */
export async function openStore(url: string, data: DataFolder, logger: Logger): Promise<Store> {
  if (url === 'embedded') return openEmbeddedStore({ folder: data.store, clock: systemClock, logger });
  try {
    return await openEtcdStore({ ...(await parseEtcdUrl(url, process.env)), clock: systemClock, logger });
  } catch (cause) {
    if (!isEruError(cause, 'unavailable') && !isEruError(cause, 'timeout')) throw cause;
    throw new EruError(cause.code, `${cause.message}; is etcd running, and is this its address?`, { cause });
  }
}

/** How long a core that stops tries to say so. */
const farewellMs = 1000;

/** One core on a store, with its port. */
export async function runCore(options: {
  store: Store;
  listen: string;
  tls?: ServerTls;
  hostNames?: readonly string[];
  credential: Credential | undefined;
  logger: Logger;
  /** Gives up starting. */
  signal?: AbortSignal;
}): Promise<Daemon & { address: string }> {
  const { store, listen, tls, hostNames = [], credential, logger, signal } = options;
  return opened(async (closer) => {
    const engines = createEngines({ clock: systemClock, random: systemRandom });
    closer.add('engine clients', () => engines.close());
    const scheduler = createScheduler({ kinds: builtinKinds() });
    const core = await startCore({
      store,
      scheduler,
      engines,
      clock: systemClock,
      random: systemRandom,
      logger,
      address: '', // told when it is served
      version,
      ...(signal !== undefined && { signal }),
    });
    closer.add('core', () => core.close());
    const closing = new AbortController();
    const services = coreServices(core.context, core.membership, {
      identifier: core.cluster,
      version,
      engines,
      closing: closing.signal,
      ...(credential !== undefined && { credential }),
    });
    const serving = await serve({ listen, hostNames, ...(tls !== undefined && { tls }), ...services });
    closer.add('core port', () => {
      closing.abort();
      return serving.close({ graceMs: 2000 });
    });
    // With port 0 only now is it known where others find this core.
    await core.membership.announce(await reachableAddress(serving.address));
    // Clients are told to go elsewhere before their calls end. A store that is silent keeps nobody from stopping.
    closer.add('announcement', async () => {
      await Promise.race([core.membership.announce('').catch(() => {}), systemClock.sleep(farewellMs)]);
    });
    logger.info({ address: serving.address, cluster: core.cluster }, 'core serves');
    return { address: serving.address };
  });
}

/** The agent of one node, between its engine's socket and core. */
export async function runAgent(options: {
  node: string;
  socket: string;
  core: CoreClient;
  heartbeatS: number;
  logger: Logger;
}): Promise<Daemon> {
  const { node, socket, core, heartbeatS, logger } = options;
  const engine = connectEngine({ address: `unix://${socket}` });
  const agent = startAgent({
    node,
    core,
    engine,
    clock: systemClock,
    random: systemRandom,
    logger,
    heartbeatIntervalS: heartbeatS,
  });
  return {
    close: async () => {
      await agent.close({ leave: false });
      await engine.close();
    },
  };
}
