import { EruError, silentLogger, systemClock } from '@eru/kit';
import { openMemoryStore, type Store } from '@eru/store';
import { expect, test } from 'vitest';

import { Allocator } from './allocator.ts';
import { ViewCache } from './view-cache.ts';

/** A store whose calls fail while it is silent. */
function silenceable(store: Store): { store: Store; silent: boolean } {
  const state = { silent: false, store };
  state.store = new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name) as unknown;
      if (typeof value !== 'function' || !['range', 'get', 'txn', 'watch'].includes(String(name))) return value;
      return (...args: unknown[]) => {
        if (!state.silent) return (value as (...args: unknown[]) => unknown).apply(target, args);
        const failure = new EruError('unavailable', 'the store is silent');
        if (name === 'watch') throw failure;
        return Promise.reject(failure);
      };
    },
  });
  return state;
}

/** Pauses are as short as they can be. */
const clock = { ...systemClock, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) };

test('a node starts while the store is silent, with what it last knew, and learns the rest when it answers', async () => {
  const shared = await openMemoryStore();
  const local = await openMemoryStore();
  const cluster = silenceable(shared);
  const cache = new ViewCache(local, silentLogger);
  const open = (): Promise<Allocator> => Allocator.open({ store: cluster.store, node: 'a', cache, clock });
  const wanted = { ifname: 'eth0', kind: 'process' as const, network: 'web', pools: ['web'] };

  const first = await open();
  await first.putPool({ name: 'web', cidr: '10.8.0.0/24', quarantineMs: 0 });
  const held = await first.reserve({ ...wanted, owner: 'shop' });
  await first.reserve({ ...wanted, owner: 'gone' });
  await cache.settled();
  first.close();

  cluster.silent = true;
  await expect(Allocator.open({ store: cluster.store, node: 'b' })).rejects.toMatchObject({ code: 'unavailable' });
  const second = await open();
  expect(second.view.reservation('shop', 'eth0')).toEqual(held);
  expect(await second.reserve({ ...wanted, owner: 'shop' })).toEqual(held);
  await expect(second.reserve({ ...wanted, owner: 'new' })).rejects.toMatchObject({ code: 'unavailable' });

  const other = await Allocator.open({ store: shared, node: 'b' });
  await other.release('gone', { lost: true });
  const changed = new Promise<void>((resolve) => second.view.onChange((key) => key.includes('/gone/') && resolve()));
  cluster.silent = false;
  await changed;
  expect(second.view.reservation('gone', 'eth0')).toBeUndefined();
  expect(await second.reserve({ ...wanted, owner: 'new' })).toMatchObject({ owner: 'new' });
  await cache.settled();
  expect((await cache.read()).some(({ key }) => key.includes('/gone/'))).toBe(false);
  second.close();
  other.close();
});
