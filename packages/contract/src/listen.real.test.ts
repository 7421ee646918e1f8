import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';

import { mount, pb, serve } from './index.ts';
import { gate, owned, pair } from './server-and-client.suite.ts';

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
    .poll(() =>
      core.info({}).then(
        ({ version }) => version,
        () => undefined,
      ),
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
  await expect(serve({ listen: 'unix:///nowhere/at/all', services })).rejects.toMatchObject({
    code: 'not_found',
    message: 'cannot listen on /nowhere/at/all: its folder does not exist',
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
