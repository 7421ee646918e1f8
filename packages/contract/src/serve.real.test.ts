import { EruError } from '@eru/kit';
import { expect, test } from 'vitest';

import { client, connect, pb, statusOf } from './index.ts';
import type { ServeOptions } from './index.ts';
import { bufCurl, collect, owned, pair, post } from './server-and-client.suite.ts';

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
    details: { node: 'n1', grpcCode: 1031, answered: true },
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
