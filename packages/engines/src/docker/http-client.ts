import { EruError } from '@eru/kit';
import http from 'node:http';
import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';

import type { DockerAddress } from './endpoint.ts';
import { refusalOf } from './refusal.ts';

export interface DockerRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  path: string;
  /** A list is a name that is there several times. */
  query?: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
  headers?: Readonly<Record<string, string>>;
  json?: unknown;
  body?: AsyncIterable<Uint8Array>;
  signal: AbortSignal;
}

/** Whose API it is: Docker's own, or Podman's socket that speaks it too, with the differences named in docs/engines.md. */
export type Daemon = 'docker' | 'podman';

/** The newest API that we know; an older daemon is spoken to in its own. */
const newestApi = [1, 43] as const;

/** HTTP with one docker daemon. Errors are `EruError`s; a signal ends the waiting, not what the daemon has begun. */
export class DockerHttp {
  readonly #address: DockerAddress;
  readonly #agent: http.Agent;
  #agreed: Promise<{ prefix: string; daemon: Daemon }> | undefined;

  constructor(address: DockerAddress) {
    this.#address = address;
    this.#agent = new Dialer(address);
  }

  /** Whose API it is; asked once, with the first call. */
  async daemon(): Promise<Daemon> {
    return (await this.#agreement()).daemon;
  }

  /** The answer read as JSON; `undefined` when it has no body, or words for people. */
  async json<T>(request: DockerRequest): Promise<T> {
    const response = await this.stream(request);
    const body = await this.#guard(() => text(response));
    const words = (response.headers['content-type'] ?? '').startsWith('text/plain');
    return (words || body.trim() === '' ? undefined : JSON.parse(body)) as T;
  }

  /** The answer as it comes. */
  async stream(request: DockerRequest): Promise<http.IncomingMessage> {
    const path = await this.#path(request);
    return this.#guard(async () => {
      const sent = http.request(this.#options(request, path));
      try {
        return await this.#answer(sent, request);
      } catch (error) {
        // A kept connection that the daemon closed meanwhile (it restarted): the request was not seen. Others may be as stale.
        const closed = ['ECONNRESET', 'EPIPE'].includes((error as NodeJS.ErrnoException).code ?? '');
        if (!sent.reusedSocket || !closed || request.body !== undefined) throw error;
        const agent = new Dialer(this.#address, false);
        return this.#answer(http.request({ ...this.#options(request, path), agent }), request);
      }
    });
  }

  /** An answer's lines as they come. */
  async *lines(response: http.IncomingMessage): AsyncGenerator<string> {
    let rest = '';
    try {
      response.setEncoding('utf8');
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim() !== '') yield line;
      }
      if (rest.trim() !== '') yield rest;
    } catch (error) {
      throw unreachable(error, this.#address);
    } finally {
      response.destroy();
    }
  }

  /** The connection itself, in both directions: ending it on our side leaves the other open. */
  async hijack(request: DockerRequest): Promise<{ socket: Duplex; head: Buffer; multiplexed: boolean | undefined }> {
    const path = await this.#path(request);
    const sent = http.request({
      ...this.#options(request, path),
      // A connection of its own, which nobody gets back.
      agent: new Dialer(this.#address, false),
    });
    return this.#guard(
      () =>
        new Promise((resolve, reject) => {
          const take = (response: http.IncomingMessage, socket: Duplex, head: Buffer): void => {
            const type = response.headers['content-type'] ?? '';
            const multiplexed = type.includes('multiplexed') ? true : undefined;
            resolve({ socket, head, multiplexed });
          };
          sent.once('upgrade', take);
          sent.once('error', reject);
          sent.once('response', (response: http.IncomingMessage) => {
            if (response.statusCode === 200) reject(new EruError('failed', 'the daemon did not hand the stream over'));
            else refuse(response, request).catch(reject);
          });
          sent.end(request.json === undefined ? undefined : JSON.stringify(request.json));
        }),
    );
  }

  close(): void {
    this.#agent.destroy();
  }

  #options({ method, headers, json, signal }: DockerRequest, path: string): http.RequestOptions {
    return {
      method,
      path,
      agent: this.#agent,
      signal,
      headers: {
        host: this.#address.authority,
        ...(json !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
    };
  }

  async #answer(sent: http.ClientRequest, request: DockerRequest): Promise<http.IncomingMessage> {
    const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
      sent.once('response', resolve).once('error', reject);
    });
    const { json, body } = request;
    const failed: { error?: unknown } = {};
    if (body !== undefined) {
      const source = async function* (): AsyncGenerator<Uint8Array> {
        try {
          yield* body;
        } catch (error) {
          failed.error = error;
          throw error;
        }
      };
      const taken = pipeline(Readable.from(source()), sent);
      taken.catch((error: unknown) => sent.destroy(error as Error));
    } else sent.end(json === undefined ? undefined : JSON.stringify(json));
    // The answer tells why the daemon took no more; the error of our sender only when there is none.
    const response = await answered.catch((error: unknown) => {
      throw failed.error ?? error;
    });
    if ((response.statusCode ?? 500) >= 400) return refuse(response, request);
    return response;
  }

  async #path({ path, query }: DockerRequest): Promise<string> {
    const { prefix } = await this.#agreement();
    const given = Object.entries(query ?? {}).filter(([, value]) => value !== undefined);
    const search = new URLSearchParams(
      given.flatMap(([name, value]) => [value].flat().map((one): [string, string] => [name, String(one)])),
    ).toString();
    return `${prefix}${path}${search === '' ? '' : `?${search}`}`;
  }

  async #agreement(): Promise<{ prefix: string; daemon: Daemon }> {
    // Shared by all callers, so that no one's leaving ends it.
    this.#agreed ??= this.#negotiate(AbortSignal.timeout(10_000));
    return this.#agreed.catch((error: unknown) => {
      this.#agreed = undefined;
      throw error;
    });
  }

  async #negotiate(signal: AbortSignal): Promise<{ prefix: string; daemon: Daemon }> {
    const request = { method: 'GET', path: '/_ping', signal } as const;
    return this.#guard(async () => {
      const response = await this.#answer(http.request(this.#options(request, '/_ping')), request);
      response.resume();
      const offered = /^(\d+)\.(\d+)$/.exec(String(response.headers['api-version'] ?? ''));
      const theirs = [Number(offered?.[1] ?? 1), Number(offered?.[2] ?? 24)] as const;
      const older = theirs[0] < newestApi[0] || (theirs[0] === newestApi[0] && theirs[1] < newestApi[1]);
      const daemon = response.headers['libpod-api-version'] === undefined ? 'docker' : 'podman';
      return { prefix: `/v${(older ? theirs : newestApi).join('.')}`, daemon };
    });
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw unreachable(error, this.#address);
    }
  }
}

/** Connections are made as the address says, and kept for the next request. */
class Dialer extends http.Agent {
  readonly #address: DockerAddress;

  constructor(address: DockerAddress, keepAlive = true) {
    super({ keepAlive, maxFreeSockets: 8 });
    this.#address = address;
  }

  override createConnection(): Duplex {
    return this.#address.dial();
  }
}

async function refuse(response: http.IncomingMessage, { method, path }: DockerRequest): Promise<never> {
  const body = await text(response);
  let message = body.trim();
  try {
    const { message: said, cause } = JSON.parse(body) as { message?: string; cause?: string };
    message = said ?? cause ?? message;
  } catch {
    // A proxy, or no docker at all, has answered: its words are shown as they are.
  }
  throw refusalOf(response.statusCode ?? 500, message === '' ? `${method} ${path} was refused` : message);
}

/** What failed on the way, and no answer of the daemon. */
function unreachable(error: unknown, { authority, host }: DockerAddress): EruError {
  const known = EruError.from(error);
  const system = error as NodeJS.ErrnoException;
  const away = ['ENOENT', 'EACCES', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH', 'ENOTFOUND'];
  const lost = known.code === 'internal' && (system.code !== undefined || /socket hang up|aborted/.test(known.message));
  if (lost || away.includes(system.code ?? ''))
    return new EruError('unavailable', `docker at ${authority === 'docker' ? host : authority}: ${known.message}`, {
      cause: error,
    });
  return known;
}
