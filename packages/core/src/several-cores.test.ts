import { openMemoryStore } from '@eru/store';
import { expect, test } from 'vitest';

import { contest, startCluster } from './several-cores.suite.ts';

test('two cores at once book 2,000 single creates on 100 nodes to the last place, and refuse only the rest', async () => {
  const store = await openMemoryStore();
  const cluster = await startCluster([store, store], 100);
  const { acknowledged, refusals, room, broken } = await contest(cluster, 2000);
  expect(broken).toEqual([]);
  // Nothing is given back meanwhile: who is refused while a place is left was refused wrongly.
  expect(room).toBe(1200);
  expect(new Set(acknowledged).size).toBe(room);
  expect(refusals).toHaveLength(2000 - room);
  for (const text of refusals) expect(text).toMatch(/not enough|no node meets/);
  await cluster.close();
  await store.close();
});
