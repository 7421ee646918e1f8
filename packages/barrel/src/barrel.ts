import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import { DockerHttp } from '@eru/engines';
import { Closer, type Logger } from '@eru/kit';
import type { NetworkService } from '@eru/network';

import { createContainer } from './create.ts';
import { inspectContainer, listContainers, pruneContainers, removeContainer } from './containers.ts';
import type { CreateRules } from './create-request.ts';
import { ExposedPorts } from './exposed-ports.ts';
import { serveConnection, type Exchange, type Handler } from './http/connection.ts';
import type { Reply } from './http/answer.ts';
import { KnownNetworks } from './known-networks.ts';
import { listenerAt, type TlsFiles } from './listeners.ts';
import { Measures } from './measures.ts';
import {
  connectContainer,
  createNetwork,
  disconnectContainer,
  inspectNetwork,
  listNetworks,
  removeNetwork,
} from './networks.ts';
import { serveOwn } from './own-endpoints.ts';
import type { Parts } from './parts.ts';
import { pruneNetworks } from './prune-networks.ts';
import { adoptLeft } from './recover.ts';
import { matchRoute, type Route } from './routes.ts';
import { upstreamAt, type UpstreamFiles } from './upstream.ts';

export interface BarrelOptions {
  netd: NetworkService;
  /** dockerd's, `unix:///PATH` or `tcp://HOST:PORT`. */
  dockerd: string;
  /** For TLS with it. */
  dockerdTls?: UpstreamFiles;
  /** Where clients come in: `unix:///PATH`, `https://HOST:PORT`, `http://127.0.0.1:PORT`. */
  hosts: readonly string[];
  tls?: TlsFiles;
  /** Of unix sockets. */
  group?: string | undefined;
  /** Socket of its own endpoints: `/health`, `/ready`, `/metrics`. */
  own?: string | undefined;
  rules: CreateRules;
  logger: Logger;
}

/** Takes clients in front of dockerd. @throws EruError before anything is opened when an option is wrong */
export async function openBarrel(options: BarrelOptions): Promise<{ addresses: string[]; close(): Promise<void> }> {
  const { netd, dockerd, dockerdTls = {}, hosts, tls = {}, group, rules, logger } = options;
  const upstream = await upstreamAt(dockerd, dockerdTls);
  const listeners = await Promise.all(hosts.map((host) => listenerAt(host, tls, group)));
  const closer = new Closer();
  try {
    const docker = new DockerHttp(upstream);
    closer.add('docker', () => docker.close());
    const networks = new KnownNetworks(netd, logger);
    const parts: Parts = { netd, docker, rules, logger, networks, exposed: new ExposedPorts(docker, logger) };
    const measures = new Measures();
    const dial = (): Duplex => {
      measures.upstreams += 1;
      return upstream.dial({ allowHalfOpen: true }).once('close', () => (measures.upstreams -= 1));
    };
    const take = (socket: Socket): void => {
      measures.connections += 1;
      socket.once('close', () => (measures.connections -= 1));
      const served = serveConnection(socket, {
        dial,
        handlerOf: ({ method, target }) => {
          const route = matchRoute(method, target);
          return route === undefined ? undefined : measured(handlers[route.kind], route, parts, measures);
        },
        onRequest: (_head, intercepted) => measures.request(intercepted),
      });
      served.catch((error: unknown) => logger.warn({ err: error }, 'a connection ended badly'));
    };
    const addresses: string[] = [];
    for (const listener of listeners) {
      const opened = await listener.open(take);
      closer.add(opened.address, () => opened.close());
      addresses.push(opened.address);
    }
    if (options.own !== undefined) {
      const own = await serveOwn(options.own, parts, measures);
      closer.add('own endpoints', () => own.close());
    }
    const left = adoptLeft(parts);
    closer.add('left requests', () => left.close());
    logger.info({ addresses, dockerd }, "Docker's clients are served");
    return { addresses, close: () => closer.close() };
  } catch (error) {
    await closer.close();
    throw error;
  }
}

type Interception = (parts: Parts, exchange: Exchange, name: string) => Promise<Reply>;

const handlers: Readonly<Record<Route['kind'], Interception>> = {
  create: createContainer,
  remove: removeContainer,
  prune: pruneContainers,
  inspect: inspectContainer,
  list: listContainers,
  networks: listNetworks,
  network: inspectNetwork,
  'create-network': createNetwork,
  'remove-network': removeNetwork,
  'prune-networks': pruneNetworks,
  connect: connectContainer,
  disconnect: disconnectContainer,
};

function measured(interception: Interception, route: Route, parts: Parts, measures: Measures): Handler {
  const name = 'name' in route ? route.name : '';
  return async (exchange) => {
    const begun = performance.now();
    let failed = true;
    try {
      const reply = await interception(parts, exchange, name);
      failed = reply.status >= 500;
      return reply;
    } finally {
      measures.handled(route.kind, performance.now() - begun, failed);
    }
  };
}
