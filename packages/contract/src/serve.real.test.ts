import { Closer, EruError, Queue, run } from '@eru/kit';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { client, connect, mount, pb, serve, statusOf } from './index.ts';
import type { ConnectOptions, ServeOptions, ServiceHandlers } from './index.ts';

const root = path.join(import.meta.dirname, '../../..');
let owned: Closer;
beforeEach(() => {
  owned = new Closer();
});
afterEach(() => owned.close());

/** `Promise.withResolvers`, which Node 20 lacks. */
function gate<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A server with these handlers, and a client of it. */
async function pair(
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

async function post(address: string, method: string, body: string, headers: Record<string, string> = {}) {
  const response = await fetch(`http://${address}/pb.CoreRPC/${method}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return { status: response.status, body: (await response.json().catch(() => undefined)) as unknown };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

test('one handler answers gRPC and JSON on one port', async () => {
  const { address, core } = await pair({ getPod: async ({ name }) => ({ name, desc: `pod ${name}` }) });
  expect(await core.getPod({ name: 'a' })).toMatchObject({ name: 'a', desc: 'pod a' });
  expect(await post(address, 'GetPod', '{"name":"b"}')).toEqual({ status: 200, body: { name: 'b', desc: 'pod b' } });
});

test('a method without a handler is unsupported on both faces', async () => {
  const { address, core } = await pair({});
  await expect(core.info({})).rejects.toMatchObject({ code: 'unsupported', details: { grpcCode: 12 } });
  await expect(collect(core.listWorkloads({}))).rejects.toMatchObject({ code: 'unsupported' });
  expect(await post(address, 'Info', '{}')).toMatchObject({ body: { code: 'unimplemented' } });
});

test('an error keeps its code, message and details; the contract may give it a number of its own', async () => {
  const { address, core } = await pair(
    {
      addNode: async () => {
        throw new EruError('exists', 'Knoten „n1“ existiert', { details: { node: 'n1' } });
      },
      async *logStream() {
        yield { id: 'w' };
        throw new EruError('not_found', 'gone');
      },
    },
    {
      toStatus: (error, { name }) => ({
        code: { AddNode: 1031, LogStream: 10711 }[name] ?? 2,
        message: statusOf(error).message,
      }),
    },
  );
  await expect(core.addNode({})).rejects.toMatchObject({
    name: 'EruError',
    code: 'exists',
    message: 'Knoten „n1“ existiert',
    details: { node: 'n1', grpcCode: 1031 },
  });
  const lines = core.logStream({ id: 'w' });
  expect((await lines.next()).value).toMatchObject({ id: 'w' });
  await expect(lines.next()).rejects.toMatchObject({ code: 'not_found', details: { grpcCode: 10711 } });
  expect(await post(address, 'AddNode', '{}')).toMatchObject({
    status: 409,
    body: {
      code: 'already_exists',
      details: [{ debug: { grpc_code: 1031, eru_code: 'exists', details: { node: 'n1' } } }],
    },
  });
});

test('the raw number is on the wire, as other gRPC clients see it', async () => {
  const { address } = await pair(
    { getNode: () => Promise.reject(new EruError('not_found', 'no such node')) },
    { toStatus: (error) => ({ code: 1034, message: statusOf(error).message }) },
  );
  const { code, stderr } = await bufCurl(address, 'pb.CoreRPC/GetNode', '-d', '{}');
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/code_1034/);
});

test('a stream of answers is lines of JSON over HTTP, at the pace of the reader; leaving it ends the handler', async () => {
  let sent = 0;
  const left = gate<unknown>();
  const { address } = await pair({
    async *listWorkloads({ appname }) {
      if (appname === 'none') return;
      if (appname === 'early') throw new EruError('not_found', 'no such app');
      yield { id: 'a', labels: { k: 'v' } };
      yield { id: 'b' };
      if (appname === 'late') throw new EruError('failed', 'broke');
    },
    async *logStream(_, { signal }) {
      signal.addEventListener('abort', () => left.resolve(signal.reason));
      for (;;) {
        sent += 1;
        yield { data: new Uint8Array(64 * 1024) };
      }
    },
    async *executeWorkload() {},
  });
  const list = async (body: string, method = 'ListWorkloads') => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`http://${address}/pb.CoreRPC/${method}`, { method: 'POST', body, headers });
    return { status: answer.status, type: answer.headers.get('content-type'), text: await answer.text() };
  };
  expect(await list('{}')).toEqual({
    status: 200,
    type: 'application/x-ndjson',
    text: '{"id":"a","labels":{"k":"v"}}\n{"id":"b"}\n',
  });
  expect(await list('{"appname":"none"}')).toMatchObject({ status: 200, text: '' });
  expect(await list('{"appname":"early"}')).toMatchObject({
    status: 404,
    text: expect.stringContaining('no such app') as string,
  });
  expect((await list('{"appname":"late"}')).text).toMatch(
    /^\{"id":"a".*\n\{"id":"b"\}\n\{"error":\{"code":"unknown","message":"broke"/,
  );
  expect(await list('{"apname":"x"}')).toMatchObject({
    status: 400,
    text: expect.stringContaining('apname') as string,
  });
  expect(await list('{', 'ListWorkloads')).toMatchObject({ status: 400 });
  const bidi = await list('{}', 'ExecuteWorkload');
  expect(bidi).toMatchObject({ status: 501, text: expect.stringContaining('call it over gRPC') as string });

  const stop = new AbortController();
  const endless = await fetch(`http://${address}/pb.CoreRPC/LogStream`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
    signal: stop.signal,
  });
  await endless.body?.getReader().read();
  stop.abort();
  expect(await left.promise).toMatchObject({ code: 'canceled' });
  expect(sent).toBeLessThan(1000);
});

test('leaving a server stream aborts the handler and lets its iterator return', async () => {
  let reason: unknown;
  let returned = false;
  const ended = gate<void>();
  const { core } = await pair({
    async *watchServiceStatus(_, { signal }) {
      try {
        yield { addresses: ['a:1'] };
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }));
      } catch (error) {
        reason = error;
        throw error;
      } finally {
        returned = true;
        ended.resolve();
      }
    },
  });
  for await (const { addresses } of core.watchServiceStatus({})) {
    expect(addresses).toEqual(['a:1']);
    break;
  }
  await ended.promise;
  expect(returned).toBe(true);
  expect(reason).toMatchObject({ code: 'canceled' });
});

test('an aborted call ends at once with the reason, unary and stream', async () => {
  const started = gate<void>();
  const { core } = await pair({
    info: (_, { signal }) => {
      started.resolve();
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
    watchServiceStatus: () => new Queue(), // says nothing
  });
  const controller = new AbortController();
  const unary = core.info({}, { signal: controller.signal });
  const stream = core.watchServiceStatus({}, { signal: controller.signal }).next();
  await started.promise;
  controller.abort();
  await expect(unary).rejects.toMatchObject({ code: 'canceled' });
  await expect(stream).rejects.toMatchObject({ code: 'canceled' });
});

test('a deadline reaches the handler, and a frozen server does not hang the caller', async () => {
  const told = gate<unknown>();
  const { core } = await pair({
    info: (_, { signal, deadline }) => {
      expect(deadline).toBeLessThan(Date.now() + 10_000);
      signal.addEventListener('abort', () => told.resolve(signal.reason));
      return new Promise(() => {});
    },
  });
  await expect(core.info({}, { timeoutMs: 100 })).rejects.toMatchObject({ code: 'timeout' });
  expect(await told.promise).toMatchObject({ name: 'EruError' });
});

test('the signal does not fire after a call that went well', async () => {
  let signal: AbortSignal | undefined;
  const { core } = await pair({
    info: async (_, context) => {
      signal = context.signal;
      return {};
    },
  });
  await core.info({});
  await core.info({}); // by now grpc-js has told the first call of its end
  expect(signal?.aborted).toBe(false);
});

test('a slow reader holds the handler back, a fast one gets everything', async () => {
  const data = new Uint8Array(64 * 1024);
  let made = 0;
  const total = 600;
  const { core } = await pair({
    async *logStream() {
      for (; made < total; made++) yield { data };
    },
  });
  const lines = core.logStream({ id: 'w' });
  await lines.next();
  const settled = async (): Promise<number> => {
    for (let last = -1; ;) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      if (made === last) return made;
      last = made;
    }
  };
  expect(await settled()).toBeLessThan(total / 2);
  expect(await collect(lines)).toHaveLength(total - 1);
  expect(made).toBe(total);
});

test('bidi: both directions at once, half-close, and back-pressure on the sender', async () => {
  const { core } = await pair({
    async *executeWorkload(requests) {
      for await (const { replCmd } of requests) yield { data: replCmd };
      yield { data: Buffer.from('[exitcode] 0') };
    },
  });
  async function* typed() {
    for (const word of ['a', 'b', 'c']) yield { replCmd: Buffer.from(word) };
  }
  const answers = await collect(core.executeWorkload(typed()));
  expect(answers.map(({ data }) => Buffer.from(data).toString())).toEqual(['a', 'b', 'c', '[exitcode] 0']);

  let sent = 0;
  const reading = gate<void>();
  const { core: slow } = await pair({
    async *sendLargeFile(requests) {
      await reading.promise;
      let size = 0;
      for await (const { chunk } of requests) size += chunk.length;
      yield { path: String(size) };
    },
  });
  async function* chunks() {
    for (; sent < 400; sent++) yield { chunk: new Uint8Array(64 * 1024) };
  }
  const answer = slow.sendLargeFile(chunks()).next();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(sent).toBeLessThan(200);
  reading.resolve();
  expect((await answer).value).toMatchObject({ path: String(400 * 64 * 1024) });
});

test('bidi: a server that ends first lets the sender go; a sender that fails ends the call', async () => {
  let released = false;
  let endedOrderly = false;
  const there = gate<void>();
  const gone = gate<void>();
  const { core } = await pair({
    async *executeWorkload(requests, { signal }) {
      signal.addEventListener('abort', () => gone.resolve());
      for await (const { workloadId } of requests) {
        if (workloadId !== 'stay') return;
        there.resolve();
        yield {};
      }
      endedOrderly = true;
    },
  });
  async function* forever() {
    try {
      for (;;) {
        yield { workloadId: 'w' };
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      released = true;
    }
  }
  expect(await collect(core.executeWorkload(forever()))).toEqual([]);
  await new Promise((resolve) => setImmediate(resolve));
  expect(released).toBe(true);

  async function* broken() {
    yield { workloadId: 'stay' };
    await there.promise;
    throw new EruError('invalid', 'no terminal');
  }
  await expect(collect(core.executeWorkload(broken()))).rejects.toMatchObject({ code: 'invalid' });
  await gone.promise;
  expect(endedOrderly).toBe(false);
});

test('without the credential nothing is answered, not even the name of a method', async () => {
  const options: Partial<ServeOptions> = {
    authenticate: ({ metadata }) => {
      if (metadata.get('eru') !== 'secret') throw new EruError('unauthenticated', 'the credential is missing or wrong');
    },
  };
  const { address, core } = await pair({ info: async () => ({ version: '1' }) }, options);
  await expect(core.info({})).rejects.toMatchObject({ code: 'unauthenticated' });
  await expect(collect(core.logStream({}))).rejects.toMatchObject({ code: 'unauthenticated' });
  expect(await post(address, 'Info', '{}')).toMatchObject({ status: 401 });
  expect(await post(address, 'Info', '{}', { eru: 'secret' })).toEqual({ status: 200, body: { version: '1' } });
  const channel = connect(address, { credentials: { eru: 'secret' } });
  owned.add('channel', () => channel.close());
  expect(await client(pb.CoreRPC, channel).info({})).toMatchObject({ version: '1' });
});

test('HTTP: other paths go to the owner, foreign pages and misspelt fields are refused', async () => {
  let called = false;
  const { address } = await pair(
    {
      getPod: async () => {
        called = true;
        return {};
      },
    },
    {
      http: (request, response) => {
        if (request.url !== '/healthz') return false;
        response.end('ok');
        return true;
      },
    },
  );
  expect(await (await fetch(`http://${address}/healthz`)).text()).toBe('ok');
  expect((await fetch(`http://${address}/nowhere`)).status).toBe(404);
  expect(await post(address, 'GetPod', '{}', { 'content-type': 'text/plain' })).toMatchObject({ status: 415 });
  expect(await post(address, 'GetPod', '{"nmae":"a"}')).toMatchObject({
    status: 400,
    body: { code: 'invalid_argument', message: expect.stringContaining('nmae') as string },
  });
  expect(called).toBe(false);
});

test('health and reflection are there for the tools that expect them', async () => {
  const { address } = await pair({ info: async () => ({ version: '7', revison: 'abc' }) });
  const health = await bufCurl(address, 'grpc.health.v1.Health/Check', '-d', '{"service":"pb.CoreRPC"}');
  expect(JSON.parse(health.stdout)).toEqual({ status: 'SERVING' });
  const unknown = await bufCurl(address, 'grpc.health.v1.Health/Check', '-d', '{"service":"x"}');
  expect(unknown.stderr).toMatch(/not_found/);
  const info = await bufCurl(address, 'pb.CoreRPC/Info', '-d', '{}');
  expect(JSON.parse(info.stdout)).toEqual({ version: '7', revison: 'abc' });
  for (const version of ['grpc-v1', 'grpc-v1alpha']) {
    const list = await bufCurl(address, '', '--list-services', '--reflect-protocol', version);
    expect(list.stdout.trim().split('\n')).toEqual(expect.arrayContaining(['pb.CoreRPC', 'grpc.health.v1.Health']));
  }
});

test('a message over the limit is refused, an answer of any size arrives', async () => {
  const { core } = await pair({
    copy: async function* () {
      yield { data: new Uint8Array(30 * 1024 * 1024) };
    },
    send: async function* () {},
  });
  const [copied] = await collect(core.copy({}));
  expect(copied?.data).toHaveLength(30 * 1024 * 1024);
  const large = { data: { '/f': new Uint8Array(21 * 1024 * 1024) } };
  await expect(collect(core.send(large))).rejects.toMatchObject({ code: 'too_large' });
});

test('a refusal with thousands of reasons still arrives as itself', async () => {
  const { core } = await pair({
    calculateCapacity: () =>
      Promise.reject(new EruError('no_capacity', 'ü\n'.repeat(50_000), { details: { nodes: 'n'.repeat(100_000) } })),
  });
  await expect(core.calculateCapacity({})).rejects.toMatchObject({ code: 'no_capacity', details: { truncated: true } });
});

test('close refuses new calls, waits for running ones within the grace, and then ends them', async () => {
  const started = gate<void>();
  const finish = gate<void>();
  let aborted = 0;
  const { server, core } = await pair({
    info: async () => {
      started.resolve();
      await finish.promise;
      return { version: 'late' };
    },
    async *watchServiceStatus(_, { signal }) {
      yield {};
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      aborted++;
    },
  });
  const late = core.info({});
  const watch = core.watchServiceStatus({});
  await Promise.all([started.promise, watch.next()]);
  const closing = server.close({ graceMs: 500 });
  finish.resolve();
  expect(await late).toMatchObject({ version: 'late' });
  await expect(watch.next()).rejects.toMatchObject({ name: 'EruError' });
  await closing;
  expect(aborted).toBe(1);
  await expect(core.info({}, { timeoutMs: 2_000 })).rejects.toMatchObject({ code: 'unavailable' });
});

test('a client finds the server again after a restart', async () => {
  const { server, address, core } = await pair({ info: async () => ({ version: '1' }) });
  await core.info({});
  await server.close();
  await expect(core.info({})).rejects.toMatchObject({ code: 'unavailable' });
  const again = await serve({
    listen: address,
    services: [mount(pb.CoreRPC, { info: async () => ({ version: '2' }) })],
  });
  owned.add('again', () => again.close());
  await expect
    .poll(
      () =>
        core.info({}).then(
          ({ version }) => version,
          () => undefined,
        ),
      { timeout: 10_000 },
    )
    .toBe('2');
});

test('addresses that cannot be listened on say why', async () => {
  const services = [mount(pb.CoreRPC, {})];
  const { address } = await pair({});
  await expect(serve({ listen: address, services })).rejects.toMatchObject({ code: 'busy' });
  await expect(serve({ listen: 'nonsense', services })).rejects.toMatchObject({ code: 'invalid' });
  await expect(serve({ listen: '203.0.113.1:1', services })).rejects.toMatchObject({ code: 'invalid' });
  await expect(serve({ listen: `unix:///tmp/${'x'.repeat(120)}`, services })).rejects.toMatchObject({
    code: 'invalid',
    message: expect.stringContaining('--data') as string,
  });
});

test('a unix socket: private, busy while its owner lives, taken over after kill -9', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-serve-'));
  owned.add('folder', () => rm(folder, { recursive: true }));
  const file = path.join(folder, 's.sock');
  const listen = `unix://${file}`;
  const services = [mount(pb.CoreRPC, { info: async () => ({ version: 'unix' }) })];

  const owner = spawn(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(file)}, () => console.log('up'))`,
  ]);
  await new Promise((resolve) => owner.stdout.once('data', resolve));
  await expect(serve({ listen, services })).rejects.toMatchObject({ code: 'busy' });
  const died = new Promise((resolve) => owner.once('exit', resolve));
  owner.kill('SIGKILL');
  await died;

  const { core, address } = await pair({ info: async (_, { peer }) => ({ version: peer }) }, { listen });
  expect(address).toBe(listen);
  expect(await core.info({})).toMatchObject({ version: 'unix' });
  const plain = path.join(folder, 'notes');
  await writeFile(plain, 'kept');
  await expect(serve({ listen: `unix://${plain}`, services })).rejects.toMatchObject({ code: 'exists' });
});

test('a connection that says half a preface is waited for; rubbish is answered as HTTP', async () => {
  const { address, core } = await pair({ info: async () => ({}) });
  const [host, port] = address.split(':');
  const socket = net.connect(Number(port), host);
  socket.write('PR');
  await core.info({}); // others are served meanwhile
  socket.write('AY\r\n\r\n');
  const answer = await new Promise<string>((resolve) => socket.once('data', (bytes) => resolve(bytes.toString())));
  expect(answer).toMatch(/^HTTP\/1.1 400/);
  socket.destroy();
});

function bufCurl(address: string, method: string, ...args: string[]) {
  const how = ['--http2-prior-knowledge', '--protocol', 'grpc'];
  const buf = path.join(root, 'node_modules/.bin/buf');
  return run(buf, ['curl', ...how, ...args, `http://${address}/${method}`], { timeoutMs: 60_000 });
}
