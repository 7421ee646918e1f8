import { EruError, Queue } from '@eru/kit';
import { expect, test } from 'vitest';

import { collect, gate, pair } from './server-and-client.suite.ts';

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
  await expect(core.info({}, { timeoutMs: 100 })).rejects.toMatchObject({
    code: 'timeout',
    message: expect.stringMatching(/^no answer within [\d.]+ s$/),
  });
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
