import { mkdir } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import path from 'node:path';

import { listen, parseEndpoint } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { Measures } from './measures.ts';
import { netdMs, type Parts } from './parts.ts';

/**
 * The proxy's own answers, on a unix socket that only root may open: `/health` (this process serves), `/ready` (dockerd and the network
 * daemon answer it), `/metrics`.
 */
export async function serveOwn(socket: string, parts: Parts, measures: Measures): Promise<{ close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const target = request.url ?? '';
    if (request.method !== 'GET' || !['/health', '/ready', '/metrics'].includes(target))
      return say(response, 404, { message: 'there are GET /health, /ready and /metrics' });
    if (target === '/health') return say(response, 200, { ok: true });
    if (target === '/metrics')
      return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(measures.text());
    void readiness(parts).then((why) =>
      say(response, Object.values(why).every((one) => one === 'ok') ? 200 : 503, why),
    );
  });
  await mkdir(path.dirname(socket), { recursive: true, mode: 0o755 });
  await listen(server, parseEndpoint(`unix://${socket}`));
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function readiness({ docker, netd }: Parts): Promise<{ dockerd: string; netd: string }> {
  const signal = AbortSignal.timeout(netdMs);
  const said = (asked: Promise<unknown>): Promise<string> =>
    asked.then(
      () => 'ok',
      (error: unknown) => EruError.from(error).message,
    );
  const ping = docker.stream({ method: 'GET', path: '/_ping', signal }).then((response) => response.resume());
  const [one, other] = await Promise.all([said(ping), said(netd.networks({}, signal))]);
  return { dockerd: one, netd: other };
}

function say(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}
