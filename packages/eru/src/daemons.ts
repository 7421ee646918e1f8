import { serve } from '@eru/contract';
import { coreServices, defaultCallsPerSecond, startCore, type CoreOptions } from '@eru/core';
import { createEngines } from '@eru/engines';
import { Closer, EruError, isEruError, systemClock, systemRandom, type Logger } from '@eru/kit';
import { openExternalKinds, type ExternalKinds } from '@eru/plugins';
import { serveRemote, serveRuntime, type RemoteTls } from '@eru/runtime';
import { builtinKinds, createScheduler, externalKind, type Scheduler } from '@eru/scheduler';
import { openEmbeddedStore, openEtcdStore, type EtcdStoreOptions, type Store } from '@eru/store';

import type { Credential, DataFolder } from './data-folder.ts';
import type { CoreSettings } from './settings/core-settings.ts';
import { serveMetrics } from './metrics-port.ts';
import { hostsOf, tlsOf, wantsTls } from './core-tls.ts';
import { findDocker, openNodeEngine } from './node/node-engine.ts';
import { openNodeNetworks, type NodeNetworkOptions } from './node/node-networks.ts';
import { reachableAddress } from './reachable.ts';
import type { ServingPlan } from './settings/serving-flags.ts';
import { parseEtcdUrl } from './settings/store-url.ts';
import { version } from './version.ts';

/** A part that runs in this process. Closing it never touches a workload. */
export interface Daemon {
  close(): Promise<void>;
}

export interface LocalRuntime extends Daemon {
  missing: string[];
  offers: string[];
  /** Serves cores on other machines, too. */
  serveRemote(listen: string, tls: RemoteTls): Promise<{ address: string; setTls(tls: RemoteTls): void }>;
}

/** The node daemon: the engines of this machine behind a unix socket. */
export async function runRuntime(options: {
  folder: string;
  socket: string;
  strict: boolean;
  docker: string;
  networks: Omit<NodeNetworkOptions, 'docker' | 'logger'>;
  ociRuntime?: string | undefined;
  logger: Logger;
}): Promise<LocalRuntime> {
  const { socket, logger } = options;
  return opened(async (closer) => {
    const docker = await findDocker(options);
    if (docker !== undefined) closer.add('docker', () => docker.engine.close());
    const networks = await openNodeNetworks({ ...options.networks, docker: docker?.socket, logger });
    closer.add('networks', () => networks.close());
    const engine = await openNodeEngine({ ...options, docker, networks: networks.daemon });
    closer.add('engines', () => engine.close());
    const serving = await serveRuntime({ socket, engine, logger });
    closer.add('runtime socket', () => serving.close());
    const { missing, offers } = await engine.info();
    return {
      missing,
      offers,
      serveRemote: async (listen, tls) => {
        const remote = await serveRemote({ listen, engine, tls, logger });
        closer.add('runtime port', () => remote.close());
        return remote;
      },
    };
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
  return openEtcd(await parseEtcdUrl(url, process.env), logger);
}

/** @throws EruError `precondition` for a prefix under which a core of the original has its data: keys of ours would meet its keys */
export async function openEtcd(at: Omit<EtcdStoreOptions, 'clock' | 'logger'>, logger: Logger): Promise<Store> {
  const store = await connectEtcd(at, logger);
  const look = Promise.all([store.get('cluster'), store.range({ prefix: 'pod/info/', limit: 1 })]);
  const found = await look.catch(async (error: unknown) => {
    if (at.mayBeSilent === true && (isEruError(error, 'unavailable') || isEruError(error, 'timeout'))) return undefined;
    await store.close();
    throw error;
  });
  if (found === undefined) return store;
  const [cluster, pods] = found;
  if (cluster !== undefined || pods.kvs.length === 0) return store;
  await store.close();
  throw new EruError(
    'precondition',
    `etcd has data of a core of the original under ${at.prefix ?? '/eru/'}; give this cluster a prefix of its own (etcd.prefix, or --store etcd://…/PREFIX)`,
  );
}

async function connectEtcd(at: Omit<EtcdStoreOptions, 'clock' | 'logger'>, logger: Logger): Promise<Store> {
  try {
    return await openEtcdStore({ ...at, clock: systemClock, logger });
  } catch (cause) {
    if (!isEruError(cause, 'unavailable') && !isEruError(cause, 'timeout')) throw cause;
    throw new EruError(cause.code, `${cause.message}; is etcd running, and is this its address?`, { cause });
  }
}

/** How long a core that stops tries to say so. */
const farewellMs = 1000;

/** The planner over the built-in kinds and those of the plugin folder. */
async function openKinds(
  { scheduler, plugins = { dir: '' } }: CoreSettings,
  logger: Logger,
): Promise<{ scheduler: Scheduler; plugins: ExternalKinds }> {
  const kinds = builtinKinds();
  const taken = createScheduler({ kinds }).kinds.map(({ name }) => name);
  const external = await openExternalKinds({ ...plugins, taken, logger });
  if (external.names.length > 0) logger.info({ dir: plugins.dir, kinds: external.names }, 'resource plugins found');
  const all = [...kinds, ...external.names.map((name) => externalKind(name))];
  return { scheduler: createScheduler({ ...scheduler, kinds: all }), plugins: external };
}

/** What of a running core may change. */
export interface RunningCore extends Daemon {
  address: string;
  /** Authority of the certificate that this core shows, where it is the cluster's. */
  ca: string | undefined;
  setLimits(limits: NonNullable<CoreOptions['limits']>): void;
  setCredential(credential: Credential): void;
  /** Absent = the default. */
  setCallsPerSecond(calls: number | undefined): void;
  inspectOnly(whitelist: readonly string[] | undefined): void;
}

/** One core on a store, with its port. */
export async function runCore(options: {
  store: Store;
  serving: ServingPlan;
  credential: Credential | undefined;
  settings?: CoreSettings;
  logger: Logger;
  /** Gives up starting. */
  signal?: AbortSignal;
}): Promise<RunningCore> {
  const { store, serving: plan, credential, settings = {}, logger, signal } = options;
  return opened(async (closer) => {
    const engines = createEngines({ clock: systemClock, random: systemRandom, docker: settings.docker ?? {} });
    closer.add('engine clients', () => engines.close());
    const { scheduler, plugins } = await openKinds(settings, logger);
    const core = await startCore({
      store,
      scheduler,
      engines,
      externalKinds: plugins,
      ...settings.core,
      clock: systemClock,
      random: systemRandom,
      logger,
      address: '', // told when it is served
      version,
      hosts: await hostsOf(plan, settings.probeTarget),
      ...(signal !== undefined && { signal }),
    });
    closer.add('core', () => core.close());
    const closing = new AbortController();
    const own = wantsTls(plan) ? await core.certificate(closing.signal) : undefined;
    const services = coreServices(core.context, core.membership, {
      identifier: core.cluster,
      version,
      engines,
      closing: closing.signal,
      builds: settings.builds,
      ...(credential !== undefined && { credential }),
      ...(settings.callsPerSecond !== undefined && { callsPerSecond: settings.callsPerSecond }),
    });
    const serving = await serve({
      listen: plan.listen,
      hostNames: plan.hostNames,
      ...(own !== undefined && { tls: tlsOf(plan, own) }),
      ...settings.serving,
      ...services,
    });
    if (own !== undefined) core.context.certificates.onRenewal((next) => serving.setTls(tlsOf(plan, next)));
    closer.add('core port', () => {
      closing.abort();
      return serving.close({ graceMs: 2000 });
    });
    // With port 0 only now is it known where others find this core.
    await core.membership.announce(await reachableAddress(serving.address, settings.probeTarget));
    // Clients are told to go elsewhere before their calls end. A store that is silent keeps nobody from stopping.
    closer.add('announcement', async () => {
      await Promise.race([core.membership.announce('').catch(() => {}), systemClock.sleep(farewellMs)]);
    });
    if (settings.profile !== undefined) {
      const profile = await serveMetrics(settings.profile, () => services.metrics());
      closer.add('metrics port', () => profile.close());
      logger.info({ address: profile.address }, 'metrics are served without a credential');
    }
    logger.info({ address: serving.address, cluster: core.cluster }, 'core serves');
    return {
      address: serving.address,
      ca: plan.tls === undefined ? own?.authority : undefined,
      setLimits: (limits) => void Object.assign(core.context.limits, limits),
      setCredential: (next) => services.setCredential(next),
      setCallsPerSecond: (calls = defaultCallsPerSecond) => services.setCallsPerSecond(calls),
      inspectOnly: (whitelist) => plugins.inspectOnly(whitelist),
    };
  });
}
