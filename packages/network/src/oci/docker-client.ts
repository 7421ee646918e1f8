import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { IncomingMessage } from 'node:http';

import { EruError } from '@eru/kit';

/** A dockerd that is asked what it knows: the little that a network daemon needs of it. */
export class DockerClient {
  readonly socket: string;

  constructor(socket: string) {
    this.socket = socket;
  }

  /** @throws EruError `not_found` for what dockerd does not have, `unavailable` when it does not answer */
  async get(path: string, signal?: AbortSignal): Promise<unknown> {
    const response = await this.#send(
      path,
      AbortSignal.any([AbortSignal.timeout(30_000), ...(signal === undefined ? [] : [signal])]),
    );
    const body = await text(response);
    if (response.statusCode === 404) throw new EruError('not_found', `dockerd has no ${path}`);
    if (response.statusCode !== 200)
      throw new EruError('failed', `dockerd answers ${response.statusCode} to ${path}: ${body.slice(0, 500)}`);
    return JSON.parse(body);
  }

  /** Events as they come, until the stream ends; it throws when it breaks. */
  async *events(filters: Readonly<Record<string, readonly string[]>>, signal: AbortSignal): AsyncGenerator {
    const response = await this.#send(`/events?filters=${encodeURIComponent(JSON.stringify(filters))}`, signal);
    let rest = '';
    for await (const piece of response.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') yield JSON.parse(line);
    }
  }

  #send(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const call = request({ socketPath: this.socket, path, signal, agent: false }, resolve);
      call.once('error', (cause) =>
        reject(new EruError('unavailable', `dockerd does not answer at ${this.socket}: ${cause.message}`, { cause })),
      );
      call.end();
    });
  }
}
