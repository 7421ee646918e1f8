import { EruError } from '@eru/kit';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { all, refused } from '../contract/bench.suite.ts';
import { dockerAddress } from './endpoint.ts';
import { frames } from './frames.ts';
import { DockerHttp } from './http-client.ts';
import { logLines } from './log-lines.ts';
import { DockerSession } from './session.ts';

/** A daemon that answers as each test says; the version is agreed before. */
let server: http.Server;
let folder: string;
let client: DockerHttp;
let answer: http.RequestListener;
let asked: string[];
const signal = AbortSignal.timeout(60_000);
const get = { method: 'GET', path: '/x', signal } as const;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-docker-'));
  asked = [];
  server = http.createServer((request, response) => {
    if (request.url === '/_ping') {
      response.setHeader('api-version', '1.41').end('OK');
      return;
    }
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  const socket = path.join(folder, 'sock');
  server.listen(socket);
  await once(server, 'listening');
  client = new DockerHttp(dockerAddress(`unix://${socket}`));
});
afterEach(async () => {
  client.close();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true });
});

it('speaks the version of an older daemon, and asks for it once', async () => {
  answer = (_, response) => response.end('{"a":1}');
  expect(await client.json({ ...get, query: { all: true, tail: undefined } })).toEqual({ a: 1 });
  await client.json(get);
  expect(asked).toEqual(['GET /v1.41/x?all=true', 'GET /v1.41/x']);
});

it('joins lines whatever pieces they come in', async () => {
  answer = (_, response) => {
    response.write('{"a":1}\n{"b"');
    setImmediate(() => response.end(':"ä"}\n\n{"c":3}'));
  };
  expect(await all(client.lines(await client.stream(get)))).toEqual(['{"a":1}', '{"b":"ä"}', '{"c":3}']);
});

it('tells refusals by status and words, also where no docker answers', async () => {
  const refuse = (status: number, body: string): void => {
    answer = (_, response) => response.writeHead(status).end(body);
  };
  refuse(404, '{"message":"No such container: x"}');
  await expect(client.json(get)).rejects.toMatchObject({ code: 'not_found', message: 'No such container: x' });
  refuse(500, '{"message":"driver failed: Bind for 0.0.0.0:80 failed: port is already allocated"}');
  await refused(client.json(get), 'busy');
  refuse(502, '<html>a proxy</html>');
  await expect(client.json(get)).rejects.toMatchObject({ code: 'failed', message: '<html>a proxy</html>' });
});

it('an answer that breaks off is unavailable, before its head and after', async () => {
  answer = (request) => request.socket.destroy();
  await refused(client.json(get), 'unavailable');
  answer = (request, response) => {
    response.write('{"a":');
    setImmediate(() => request.socket.destroy());
  };
  await refused(client.json(get), 'unavailable');
  await refused(all(client.lines(await client.stream(get))), 'unavailable');
});

it('nobody at the socket is unavailable, and names the daemon', async () => {
  const nobody = new DockerHttp(dockerAddress('unix:///nonexistent/docker.sock'));
  await expect(nobody.json(get)).rejects.toMatchObject({ code: 'unavailable', message: /docker at 127\.0\.0\.1/ });
  nobody.close();
});

it('a kept connection that the daemon has closed meanwhile costs no call', async () => {
  answer = (_, response) => response.end('1');
  await client.json(get);
  const gone = new Promise<void>((resolve) => {
    server.closeIdleConnections();
    setImmediate(resolve);
  });
  await gone;
  expect(await client.json(get)).toBe(1);
});

it('a caller who leaves is not kept by a daemon that hangs', async () => {
  answer = () => {};
  const leave = new AbortController();
  const waiting = client.json({ ...get, signal: leave.signal });
  leave.abort();
  await refused(waiting, 'canceled');
});

it('words for people are no JSON', async () => {
  answer = (_, response) => response.setHeader('content-type', 'text/plain').end('OK');
  expect(await client.json(get)).toBeUndefined();
});

it('a body that fails on our side is told as it failed, not as a lost connection', async () => {
  answer = () => {};
  const failing = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.alloc(10_000);
    throw new EruError('invalid', 'the archive leaves its folder');
  };
  await refused(client.json({ method: 'PUT', path: '/x', body: failing(), signal }), 'invalid');
});

it('tells podman from docker by what it says of itself', async () => {
  expect(await client.daemon()).toBe('docker');
  const other = new DockerHttp(dockerAddress(`unix://${path.join(folder, 'sock')}`));
  server.prependOnceListener('request', (_, response: http.ServerResponse) => {
    response.setHeader('libpod-api-version', '4.3.1');
  });
  expect(await other.daemon()).toBe('podman');
  other.close();
});

it('a body that the daemon refuses half-way is told by its answer', async () => {
  answer = (_, response) => response.writeHead(400).end('{"message":"archive/tar: invalid tar header"}');
  const endless = async function* (): AsyncGenerator<Uint8Array> {
    for (let count = 0; count < 1000; count++) yield Buffer.alloc(10_000);
  };
  await refused(client.json({ method: 'PUT', path: '/x', body: endless(), signal }), 'invalid', 'unavailable');
});

it('hands a connection over, half of which can be closed', async () => {
  server.on('upgrade', (_request: http.IncomingMessage, socket: Duplex) => {
    socket.write('HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n');
    const heard: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => heard.push(chunk));
    // Docker answers only after it has read all of the input, as `sort` would.
    socket.on('end', () => {
      const text = Buffer.concat(heard);
      const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, text.length]);
      socket.end(Buffer.concat([head, text]));
    });
  });
  const headers = { connection: 'Upgrade', upgrade: 'tcp' };
  const connection = await client.hijack({ ...get, method: 'POST', headers });
  const calls = { exit: () => Promise.resolve(7), resize: () => Promise.resolve() };
  const session = new DockerSession(connection, { stdin: true, tty: false }, calls);
  await session.write(Buffer.from('to the '));
  await session.write(Buffer.from('end'));
  await session.closeStdin();
  await refused(session.write(Buffer.from('x')), 'precondition');
  expect((await all(session.output)).map(({ data }) => data.toString())).toEqual(['to the end']);
  expect(await session.exit).toBe(7);
});

it('a connection that is refused is told as a refusal', async () => {
  answer = (_, response) => response.writeHead(409).end('{"message":"Container x is not running"}');
  const headers = { connection: 'Upgrade', upgrade: 'tcp' };
  server.on('upgrade', (_request: http.IncomingMessage, socket: Duplex) => {
    const body = '{"message":"Container x is not running"}';
    socket.end(`HTTP/1.1 409 Conflict\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  await refused(client.hijack({ ...get, method: 'POST', headers }), 'precondition');
});

it('frames and lines are the same however they are cut', async () => {
  const frame = (stream: number, text: string): Buffer => {
    const head = Buffer.alloc(8);
    head[0] = stream;
    head.writeUInt32BE(Buffer.byteLength(text), 4);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const whole = Buffer.concat([
    frame(1, '2023-11-14T22:13:20.000000001Z a long '),
    frame(2, '2023-11-14T22:13:20.5Z err\n'),
    frame(1, '2023-11-14T22:13:21.25Z line\n'),
    frame(1, '2023-11-14T22:13:22Z unended'),
  ]);
  for (const size of [1, 3, 7, 8, 9, 64, whole.length]) {
    const cut = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < whole.length; at += size) yield whole.subarray(at, at + size);
    };
    const lines = await all(logLines(frames(cut())));
    expect(lines.map(({ at, entry }) => [at, entry.stream, Buffer.from(entry.data).toString()])).toEqual([
      ['1700000000.500000000', 'stderr', 'err\n'],
      ['1700000000.000000001', 'stdout', 'a long line\n'],
      ['1700000002.000000000', 'stdout', 'unended'],
    ]);
  }
});
