import { connectCore, watchObjects } from '@eru/client';
import { Closer, silentLogger, VirtualClock } from '@eru/kit';
import { openMemoryStore } from '@eru/store';
import { expect, test } from 'vitest';

import { runCore } from './daemons.ts';

test('a watch goes on at the other core when its own is gone, without a gap, a repeat or a list', async () => {
  await using closer = new Closer();
  const store = await openMemoryStore();
  closer.add('store', () => store.close());
  const serve = {
    store,
    serving: { listen: '127.0.0.1:0', hostNames: [], secure: false },
    credential: undefined,
    logger: silentLogger,
  };
  const [first, second] = [await runCore(serve), await runCore(serve)];
  closer.add('second', () => second.close());
  // It looks every ten seconds who is alive: of its own time.
  const clock = new VirtualClock();
  const watcher = connectCore({ addresses: [first.address, second.address], clock });
  closer.add('watcher', () => watcher.close());
  const writer = connectCore({ addresses: second.address });
  closer.add('writer', () => writer.close());
  await watcher.ready();
  expect(watcher.address).toBe(first.address);

  const stop = new AbortController();
  const told: string[] = [];
  const seen = (async () => {
    for await (const event of watchObjects(watcher, { kinds: ['pod'], signal: stop.signal, clock })) {
      if (event.type === 'changes') told.push(...event.changes.map(({ name }) => name));
      else told.push(event.type);
    }
  })();
  const names = Array.from({ length: 100 }, (_, index) => `p${String(index).padStart(3, '0')}`);
  await expect.poll(() => told).toEqual(['reset', 'listed']);
  for (const [index, name] of names.entries()) {
    await writer.core.addPod({ name });
    if (index === 40) void first.close();
  }
  await expect
    .poll(async () => {
      await clock.advance(10_000);
      return told.length;
    })
    .toBe(102);
  expect(told).toEqual(['reset', 'listed', ...names]);
  stop.abort();
  await seen;
});

test('cores tell clients where they are, and that they leave', async () => {
  await using closer = new Closer();
  const store = await openMemoryStore();
  closer.add('store', () => store.close());
  const serve = {
    store,
    serving: { listen: '127.0.0.1:0', hostNames: [], secure: false },
    credential: undefined,
    logger: silentLogger,
  };
  const [first, second] = [await runCore(serve), await runCore(serve)];
  closer.add('second', () => second.close());
  const client = connectCore({ addresses: second.address });
  closer.add('client', () => client.close());
  const pushes = client.core.watchServiceStatus({});
  const addresses = async (): Promise<string[]> => [...((await pushes.next()).value?.addresses ?? [])];
  expect(await addresses()).toEqual([first.address, second.address].toSorted());
  await first.close();
  expect(await addresses()).toEqual([second.address]);
  await pushes.return?.();
});
