import { mount, pb, serve } from '@eru/contract';
import type { ServiceHandlers } from '@eru/contract';
import { Closer, EruError, Queue, VirtualClock } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { connectCore } from './core.ts';
import { watchCores } from './discovery.ts';

let owned: Closer;
beforeEach(() => {
  owned = new Closer();
});
afterEach(() => owned.close());

async function coreServer(version: string, handlers: ServiceHandlers<typeof pb.CoreRPC> = {}, listen = '127.0.0.1:0') {
  const info = async () => ({ version });
  const server = await serve({ listen, services: [mount(pb.CoreRPC, { info, ...handlers })] });
  owned.add(version, () => server.close());
  return server;
}

test('calls go to the first address that is alive, and back to a better one when it recovers', async () => {
  const clock = new VirtualClock();
  const [first, second] = [await coreServer('first'), await coreServer('second')];
  const client = connectCore({ addresses: [first.address, second.address], clock });
  owned.add('client', () => client.close());
  const probed = (version: string) =>
    expect
      .poll(async () => {
        await clock.advance(10_000);
        return client.core.info({}).then(
          (info) => info.version,
          () => undefined,
        );
      })
      .toBe(version);
  await probed('first');
  await first.close();
  await probed('second');
  expect(client.address).toBe(second.address);
  await coreServer('first again', {}, first.address);
  await probed('first again');
});

test('a call that finds its core gone sends the next ones to another at once', async () => {
  const [first, second] = [await coreServer('first'), await coreServer('second')];
  // Nothing is due by time.
  const client = connectCore({ addresses: [first.address, second.address], clock: new VirtualClock() });
  owned.add('client', () => client.close());
  await client.ready();
  await expect.poll(() => client.core.info({})).toMatchObject({ version: 'first' });
  await first.close();
  await expect(client.core.info({})).rejects.toMatchObject({ code: 'unavailable' });
  await expect
    .poll(() =>
      client.core.info({}).then(
        ({ version }) => version,
        () => undefined,
      ),
    )
    .toBe('second');
});

test('a dead first address costs nothing when the second one answers', async () => {
  const dead = await coreServer('dead');
  await dead.close();
  const alive = await coreServer('alive');
  const client = connectCore({ addresses: `${dead.address},${alive.address}` });
  owned.add('client', () => client.close());
  await client.ready();
  expect(await client.core.info({})).toMatchObject({ version: 'alive' });
});

test('with no core alive the calls fail, not the connecting; after close they are canceled', async () => {
  const dead = await coreServer('dead');
  await dead.close();
  const controller = new AbortController();
  const client = connectCore({
    addresses: [dead.address, dead.address.replace(/\d+$/, '1')],
    signal: controller.signal,
  });
  await expect(client.core.info({})).rejects.toMatchObject({ code: 'unavailable' });
  controller.abort();
  expect(() => client.core.info({})).toThrow(expect.objectContaining({ code: 'canceled' }));
});

test('the credential goes with each call, its name in lower case', async () => {
  const server = await serve({
    listen: '127.0.0.1:0',
    services: [mount(pb.CoreRPC, { info: async () => ({ version: 'in' }) })],
    authenticate: ({ metadata }) => {
      if (metadata.get('admin') !== 's3cret') throw new EruError('unauthenticated', 'no');
    },
  });
  owned.add('server', () => server.close());
  const open = (username: string, password: string) => {
    const client = connectCore({ addresses: server.address, credential: { username, password } });
    owned.add('client', () => client.close());
    return client.core;
  };
  expect(await open('Admin', 's3cret').info({})).toMatchObject({ version: 'in' });
  await expect(open('admin', 'wrong').info({})).rejects.toMatchObject({ code: 'unauthenticated' });
  expect(() => open('no spaces', 'x')).toThrow(expect.objectContaining({ code: 'invalid' }));
});

test('eru:/// asks a core for the others and prefers what it says', async () => {
  const pushes = new Queue<{ addresses: string[]; intervalInSecond: bigint }>();
  const other = await coreServer('other');
  const seed = await coreServer('seed', { watchServiceStatus: () => pushes });
  const client = connectCore({ addresses: `eru:///${seed.address}` });
  owned.add('client', () => client.close());
  expect(await client.core.info({})).toMatchObject({ version: 'seed' });
  pushes.push({ addresses: ['not an address', other.address], intervalInSecond: 30n });
  await expect.poll(() => client.address).toBe(other.address);
  expect(await client.core.info({})).toMatchObject({ version: 'other' });
});

test('a silent or broken watch is opened again', async () => {
  const clock = new VirtualClock();
  const controller = new AbortController();
  let opened = 0;
  const core = {
    watchServiceStatus: (_: object, { signal }: { signal?: AbortSignal } = {}) => {
      const pushes = new Queue<pb.ServiceStatus>();
      signal?.addEventListener('abort', () => pushes.end(EruError.from(signal.reason)), { once: true });
      opened++;
      if (opened === 2) pushes.end(new EruError('unavailable', 'gone'));
      else pushes.push({ addresses: [`10.0.0.1:${opened}`], intervalInSecond: 30n } as pb.ServiceStatus);
      return pushes;
    },
  };
  const lists = watchCores(core, { signal: controller.signal, clock });
  expect((await lists.next()).value).toEqual(['10.0.0.1:1']);
  const next = lists.next();
  await clock.advance(29_999);
  expect(opened).toBe(1);
  await clock.advance(1 + 10_000 + 10_000);
  expect((await next).value).toEqual(['10.0.0.1:3']);
  const last = lists.next();
  controller.abort();
  expect(await last).toEqual({ value: undefined, done: true });
});
