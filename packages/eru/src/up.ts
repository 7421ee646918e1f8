import { hostname } from 'node:os';
import path from 'node:path';

import { connectCore, findCore, removeEndpoint, type Core as CoreClient, type Wanted } from '@eru/client';
import { Closer, createLogger, isEruError, lockFolder, retry, systemClock } from '@eru/kit';

import type { AgentConfig } from './settings/agent-keys.ts';
import { agentSettings } from './settings/agent-settings.ts';
import { runCore, runRuntime, openStore } from './daemons.ts';
import type { CoreConfig } from './settings/core-keys.ts';
import { settingsOf } from './settings/core-settings.ts';
import { defaultListen } from './settings/default-listen.ts';
import { credentialOf, openDataFolder } from './data-folder.ts';
import { runAgent } from './run-agent.ts';
import { reachableAddress } from './reachable.ts';
import { findHome, writeRunning } from './running.ts';
import { readServing, type ServingFlags } from './settings/serving-flags.ts';
import { parseEtcdUrl } from './settings/store-url.ts';
import { tellOwnMachine } from './tell-own-machine.ts';

export interface UpOptions extends Omit<ServingFlags, 'listen'> {
  listen?: string;
  pluginDir?: string;
  /** `HOST[:PORT][/NAMESPACE]` that built images are pushed to; without it they stay on this machine. */
  hub?: string;
  data: string;
  /** `embedded` or `etcd://…`; by default where it was last time, at first embedded. */
  store: string | undefined;
  /** How its own parts reach core under TLS. */
  tls?: NonNullable<Wanted['tls']>;
  /** Name of this machine's node; by default as last time, at first the host name. */
  node: string | undefined;
  /** `auto`, `none` or the socket of a dockerd (`NodeEngineOptions`). */
  docker: string;
  /** `auto`, `none` or the socket of a network daemon that runs apart (`NodeNetworkOptions`). */
  netd: string;
  /** `runc` or `crun`. */
  ociRuntime?: string | undefined;
  /** How its agent works. */
  agent: AgentConfig;
  /** Pod of this machine's node; made when it is not there. */
  pod: string;
  /** Gives up. */
  signal: AbortSignal;
}

export interface Up {
  client: CoreClient;
  address: string;
  node: string;
  /** What this machine cannot do, one sentence each. */
  missing: string[];
  offers: string[];
  /** The store that this data folder's Eru ran on last, when it is another one now. */
  leftStore: string | undefined;
  close(): Promise<void>;
}

/** Heartbeats of a node whose core is next door: its death shows within a quarter of a minute. */
const heartbeatS = 5;

/**
 * A one-node cluster in this process: node runtime, core and agent, joined by the same RPCs as when they run apart.
 * `busy` when another Eru has the data folder.
 */
export async function up(options: UpOptions): Promise<Up> {
  const { signal } = options;
  const data = await openDataFolder(options.data);
  const closer = new Closer();
  try {
    const lock = await lockFolder(data.root, 'up');
    closer.add('lock', () => lock.release());
    const last = await findHome(data.root);
    const home = {
      store: options.store ?? last?.store ?? 'embedded',
      node: options.node ?? last?.node ?? nodeName(hostname()),
    };
    const logger = createLogger({ file: data.log });
    const credential = options.auth ? await credentialOf(data) : undefined;
    const store = await openStore(home.store, data, logger);
    closer.add('store', () => store.close());
    const runtime = await runRuntime({
      folder: data.runtime,
      socket: data.socket,
      strict: false,
      docker: options.docker,
      // Addresses on a shared store are the whole cluster's.
      networks: {
        data,
        netd: options.netd,
        ...(home.store !== 'embedded' && {
          cluster: { store, node: home.node, address: await addressTowards(home.store) },
        }),
      },
      ociRuntime: options.ociRuntime,
      logger,
    });
    closer.add('runtime', () => runtime.close());
    const serving = await readServing({ ...options, listen: options.listen ?? defaultListen });
    const settings = settingsOf(
      { ...hubOf(options.hub), 'git.scm_type': 'git', 'docker.build_pod': options.pod },
      options.pluginDir,
    );
    const core = await runCore({ store, serving, credential, settings, logger, signal });
    closer.add('core', () => core.close());
    await writeRunning(data.root, 'up', home);
    await tellOwnMachine(data, core, credential);
    closer.add('endpoint file', () => removeEndpoint(data.root));
    const client = connectCore(
      await findCore({ data: data.root, ...(options.tls !== undefined && { tls: options.tls }) }),
    );
    closer.add('client', () => client.close());
    const { node } = home;
    await joinNode(client, { node, pod: options.pod, endpoint: `eru+unix://${data.socket}` }, signal);
    const agent = await runAgent({
      node,
      core: client,
      settings: agentSettings({ heartbeat_interval: heartbeatS, ...options.agent }, { socket: data.socket }),
      folder: path.join(data.root, 'agent'),
      logger,
    });
    closer.add('agent', () => agent.close());
    return {
      client,
      address: core.address,
      node,
      missing: runtime.missing,
      offers: runtime.offers,
      leftStore: last === undefined || last.store === home.store ? undefined : last.store,
      close: () => closer.close(),
    };
  } catch (error) {
    await closer.close();
    throw error;
  }
}

function hubOf(hub = ''): CoreConfig {
  const slash = hub.indexOf('/');
  return slash < 0
    ? { 'docker.hub': hub }
    : { 'docker.hub': hub.slice(0, slash), 'docker.namespace': hub.slice(slash + 1) };
}

/** The pod and the node of this machine; an existing node gets this endpoint. */
async function joinNode(
  client: CoreClient,
  { node, pod, endpoint }: { node: string; pod: string; endpoint: string },
  signal: AbortSignal,
): Promise<void> {
  await retry(
    async () => {
      await client.core.addPod({ name: pod, desc: '' }, { signal }).catch(unless('exists'));
      const known = await client.core.getNode({ nodename: node }, { signal }).catch(unless('not_found'));
      if (known === undefined) await client.core.addNode({ nodename: node, endpoint, podname: pod }, { signal });
      else if (known.endpoint !== endpoint) await client.core.setNode({ nodename: node, endpoint }, { signal });
    },
    { attempts: 5, clock: systemClock, signal },
  );
}

function unless(code: 'exists' | 'not_found'): (error: unknown) => undefined {
  return (error) => {
    if (isEruError(error, code)) return undefined;
    throw error;
  };
}

/** This machine's address as other machines of an etcd see it. */
async function addressTowards(etcd: string): Promise<string> {
  const { endpoints } = await parseEtcdUrl(etcd, process.env);
  const addressOf = async (probe?: string): Promise<string> =>
    (await reachableAddress('0.0.0.0:0', probe)).replace(/:0$/, '');
  const seen = await addressOf(endpoints[0]);
  return seen.startsWith('127.') ? addressOf() : seen;
}

/** A host name as a node name: what the planner's keys can hold. */
function nodeName(host: string): string {
  return host.replaceAll(/[^A-Za-z0-9.-]/g, '-') || 'localhost';
}
