import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import net from 'node:net';
import path from 'node:path';

import { EruError, isErrno, type Logger } from '@eru/kit';

import { metricsOf } from './metrics.ts';
import { verbs, type Served } from './service.ts';

/** A request of ours has some kilobytes. */
const bodyBytesMax = 2 ** 20;

const statuses: Partial<Record<EruError['code'], number>> = {
  invalid: 400,
  not_found: 404,
  exists: 409,
  precondition: 409,
  busy: 409,
  fenced: 409,
  conflict: 409,
  no_capacity: 507,
  unsupported: 501,
  unavailable: 503,
  timeout: 504,
  canceled: 499,
};

/**
 * The daemon on a unix socket that only root may open: `POST /v1/VERB` with a JSON object, `GET /healthz` and `/metrics`.
 * @throws EruError `busy` when another daemon answers there
 */
export async function serveNetd(
  netd: Served,
  { socket, logger }: { socket: string; logger: Logger },
): Promise<{ close(): Promise<void> }> {
  await mkdir(path.dirname(socket), { recursive: true, mode: 0o755 });
  await removeStale(socket);
  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.on('close', () => {
      if (!response.writableEnded) gone.abort();
    });
    answer(netd, request, response, gone.signal).catch((thrown: unknown) => {
      const error = EruError.from(thrown);
      if (error.code === 'internal') logger.error({ err: error, path: request.url }, 'a request met a bug');
      send(response, statuses[error.code] ?? 500, { code: error.code, message: error.message, details: error.details });
    });
  });
  // Plugins may take their time; their deadline is elsewhere.
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(EruError.from(cause)));
    server.listen(socket, resolve);
  });
  await chmod(socket, 0o600);
  logger.info({ socket }, 'the network daemon serves');
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      }),
  };
}

async function answer(
  netd: Served,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const { method, url = '' } = request;
  if (method === 'GET' && url === '/healthz') return send(response, 200, { ok: true });
  if (method === 'GET' && url === '/metrics')
    return void response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(await metricsOf(netd));
  const verb = verbs.find((one) => url === `/v1/${one}`);
  if (method !== 'POST' || verb === undefined)
    throw new EruError(
      'not_found',
      `${method} ${url}: there is POST /v1/VERB (${verbs.join(', ')}), GET /healthz and GET /metrics`,
    );
  const body = await readBody(request);
  const call = netd[verb] as (request: unknown, signal: AbortSignal) => Promise<unknown>;
  send(response, 200, (await call.call(netd, body, signal)) ?? null);
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bodyBytesMax) throw new EruError('too_large', `a request has at most ${bodyBytesMax} bytes`);
    pieces.push(piece);
  }
  const text = Buffer.concat(pieces).toString('utf8');
  try {
    return text === '' ? {} : (JSON.parse(text) as unknown);
  } catch (cause) {
    throw new EruError('invalid', `the request is not JSON: ${EruError.from(cause).message}`, { cause });
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  if (response.destroyed) return;
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(body)}\n`);
}

/** A socket that nobody listens on any more was left by a daemon that was killed. */
async function removeStale(socket: string): Promise<void> {
  const lives = await new Promise<boolean>((resolve, reject) => {
    const probe = net.connect(socket, () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => {
      if (isErrno(error, 'ENOENT') || isErrno(error, 'ECONNREFUSED')) resolve(false);
      else reject(EruError.from(error));
    });
  });
  if (lives)
    throw new EruError(
      'busy',
      `${socket}: another network daemon answers there; stop it first, or give another socket`,
    );
  await rm(socket, { force: true });
}
