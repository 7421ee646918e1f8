import { Closer, run } from '@eru/kit';
import path from 'node:path';
import { afterEach, beforeEach } from 'vitest';

import { client, connect, mount, pb, serve } from './index.ts';
import type { ConnectOptions, ServeOptions, ServiceHandlers } from './index.ts';

const root = path.join(import.meta.dirname, '../../..');

/** What a test has opened; closed after it. */
export let owned: Closer;
beforeEach(() => {
  owned = new Closer();
});
afterEach(() => owned.close());

/** `Promise.withResolvers`, which Node 20 lacks. */
export function gate<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A server with these handlers, and a client of it. */
export async function pair(
  handlers: ServiceHandlers<typeof pb.CoreRPC>,
  options: Partial<ServeOptions> = {},
  connecting: ConnectOptions = {},
) {
  const server = await serve({ listen: '127.0.0.1:0', services: [mount(pb.CoreRPC, handlers)], ...options });
  owned.add('server', () => server.close());
  const channel = connect(server.address, connecting);
  owned.add('channel', () => channel.close());
  return { server, address: server.address, core: client(pb.CoreRPC, channel) };
}

export async function post(address: string, method: string, body: string, headers: Record<string, string> = {}) {
  const response = await fetch(`http://${address}/pb.CoreRPC/${method}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return { status: response.status, body: (await response.json().catch(() => undefined)) as unknown };
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export function bufCurl(address: string, method: string, ...args: string[]) {
  const how = ['--http2-prior-knowledge', '--protocol', 'grpc'];
  const buf = path.join(root, 'node_modules/.bin/buf');
  return run(buf, ['curl', ...how, ...args, `http://${address}/${method}`], { timeoutMs: 60_000 });
}
