import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';

import { foreignRequest, parseEndpoint } from '@eru/contract';
import type { Engine } from '@eru/engines';
import type { Clock } from '@eru/kit';
import { EruError } from '@eru/kit';

import type { Agent } from './agent.ts';
import { LiveLog } from './live-log.ts';

export interface ApiOptions {
  /** `HOST:PORT`; without a host on loopback. */
  listen: string;
  agent: Pick<Agent, 'workloads' | 'facts' | 'trouble' | 'subscribe'>;
  engine: Engine;
  metrics: () => string;
  version: string;
  clock: Clock;
}

/** Who listens to logs at the same time. */
const mostListeners = 64;
const headersMs = 3_000;

type Answer = (request: IncomingMessage, response: ServerResponse, query: URLSearchParams) => void;

/**
 * The agent over HTTP: GET and HEAD. What workloads print may be anything, so it is given to this machine only; figures
 * and states go to whoever reaches the address.
 * @throws EruError `invalid` for an address that cannot be listened on
 */
export async function startApi(options: ApiOptions): Promise<{ address: string; close(): Promise<void> }> {
  const endpoint = parseEndpoint(options.listen);
  if ('path' in endpoint) throw new EruError('invalid', `api.addr: ${options.listen} is not allowed; write HOST:PORT`);
  const listeners = new Set<LiveLog>();
  const unsubscribe = options.agent.subscribe((state) => {
    for (const listener of listeners) listener.seen(state, false);
  });
  const answers = answersOf(options, listeners);
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://agent');
    const answer = answers[pathname];
    if (answer === undefined && answers[`${pathname}/`] !== undefined)
      return void response
        .writeHead(301, { location: `${pathname}/${searchParams.size > 0 ? `?${searchParams.toString()}` : ''}` })
        .end();
    if (answer === undefined) return tell(response, 404, `here are ${Object.keys(answers).join(', ')}`);
    if (request.method !== 'GET' && request.method !== 'HEAD') return tell(response, 405, 'only GET and HEAD');
    answer(request, response, searchParams);
  });
  server.headersTimeout = headersMs;
  const { host, port } = endpoint;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new EruError('invalid', `api.addr: ${options.listen} cannot be listened on: ${cause.message}`, { cause })),
    );
    server.listen(port, host === '' ? '127.0.0.1' : host, resolve);
  });
  const bound = server.address() as AddressInfo;
  return {
    address: `${isIP(bound.address) === 6 ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        unsubscribe();
        for (const listener of listeners) listener.end();
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function answersOf(
  { agent, engine, metrics, version, clock }: ApiOptions,
  listeners: Set<LiveLog>,
): Readonly<Record<string, Answer>> {
  return {
    '/version/': (_request, response) => json(response, { version }),
    '/profile/': (_request, response) => json(response, countOf(process.getActiveResourcesInfo())),
    '/healthz': (_request, response) => tell(response, 200, 'ok'),
    '/readyz': (_request, response) =>
      agent.trouble === '' ? tell(response, 200, 'ok') : tell(response, 503, agent.trouble),
    '/metrics': (_request, response) =>
      void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(metrics()),
    '/log/': (request, response, query) => {
      const app = query.get('app') ?? '';
      const foreign = isLocal(request) ? foreignRequest(request, []) : 'logs are given to this machine only';
      if (foreign !== undefined) return tell(response, 403, foreign);
      if (app === '') return void response.writeHead(400).end();
      if (listeners.size >= mostListeners) return tell(response, 503, `${mostListeners} listen already`);
      response.writeHead(200, { 'content-type': 'application/json' });
      if (request.method === 'HEAD') return void response.end();
      response.flushHeaders();
      const listener = new LiveLog({ app, engine, pod: agent.facts?.pod ?? '', clock, response });
      listeners.add(listener);
      response.once('close', () => listeners.delete(listener));
      for (const { state } of agent.workloads.values()) listener.seen(state, true);
    },
  };
}

function isLocal({ socket }: IncomingMessage): boolean {
  return /^(::ffff:)?127\.|^::1$/.test(socket.remoteAddress ?? '');
}

function tell(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${words}\n`);
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

function countOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
