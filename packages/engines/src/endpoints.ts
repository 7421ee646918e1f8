import { EruError, type Clock, type Random } from '@eru/kit';

import type { Engine } from './engine.ts';
import { isRemoteDaemon, RemoteDaemons, type Peer } from './remote-daemons.ts';
import { SimulatedMachines } from './simulated/simulated.ts';
import { connectDocker } from './docker/connect.ts';
import type { DockerSettings } from './docker/create-body.ts';
import { connectEngine } from './wire/wire-client.ts';

/** PEM texts; all empty for an engine that is reached without TLS. */
interface Certificates {
  ca: string;
  cert: string;
  key: string;
  /** A daemon that is known by its certificate (`eru+tls`): whose it must be, and which. */
  peer?: Peer;
}

/** Engine clients by node endpoint and certificates: one for each, made when first asked for. */
export interface Engines {
  /** `unsupported` names the engine that is missing; `invalid` for what is no endpoint at all. */
  get(endpoint: string, certificates?: Certificates): Engine;
  /** Closes the client, if there is one: its calls end now. The next `get` makes another. */
  drop(endpoint: string, certificates?: Certificates): void;
  close(): Promise<void>;
}

const missing: Readonly<Record<string, string>> = {
  'systemd:': 'the systemd engine',
  'virt-grpc:': 'the yavirt engine',
};

const dockers = new Set(['docker:', 'unix:', 'tcp:', 'ssh:']);

/**
 * `eru+unix:///path` is a node daemon of ours, `eru+tls://host:port` one on another machine; `unix:///path`, `docker://`, `tcp://host:port` and `ssh://user@host` a docker daemon;
 * `mock://name` a simulated machine of this process. `docker`: what is settled for all containers.
 */
export function createEngines(options: { clock: Clock; random: Random; docker?: Partial<DockerSettings> }): Engines {
  const machines = new SimulatedMachines(options);
  const engines = new Map<string, Engine>();
  const remote = new RemoteDaemons();
  const open = (endpoint: string, certificates?: Certificates): Engine => {
    const scheme = /^[a-z+-]+:/.exec(endpoint)?.[0] ?? '';
    if (endpoint.startsWith('eru+unix:///')) return connectEngine({ address: endpoint.slice('eru+'.length) });
    if (scheme === 'mock:') return machines.resolve(endpoint).engine();
    if (dockers.has(scheme)) return connectDocker(endpoint, { ...options, certificates, settings: options.docker });
    const lacks = missing[scheme];
    if (lacks !== undefined && endpoint.startsWith(`${scheme}//`))
      throw new EruError('unsupported', `endpoint ${endpoint}: this release lacks ${lacks}`);
    throw new EruError('invalid', `endpoint invalid ${endpoint}: invalid node endpoint`);
  };
  return {
    get: (endpoint, certificates) => {
      if (isRemoteDaemon(endpoint)) return remote.get(endpoint, certificates);
      const key = keyOf(endpoint, certificates);
      const engine = engines.get(key) ?? open(endpoint, certificates);
      engines.set(key, engine);
      return engine;
    },
    drop: (endpoint, certificates) => {
      if (isRemoteDaemon(endpoint)) return remote.drop(endpoint, certificates?.peer);
      const key = keyOf(endpoint, certificates);
      void engines
        .get(key)
        ?.close()
        .catch(() => {}); // it was not answering any more
      engines.delete(key);
    },
    close: async () => {
      await Promise.all([remote.close(), ...[...engines.values()].map((engine) => engine.close())]);
    },
  };
}

function keyOf(endpoint: string, { ca, cert, key }: Certificates = { ca: '', cert: '', key: '' }): string {
  return JSON.stringify([endpoint, ca, cert, key]);
}
