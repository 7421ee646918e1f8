import { openMemoryStore } from '@eru/store';
import { expect, test } from 'vitest';

import { contest, createOne, startCluster } from './several-cores.suite.ts';

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

test('of a hundred equal nodes the eldest core takes the first by name, each other one in an order of its own: none loses', async () => {
  const store = await openMemoryStore();
  const cluster = await startCluster([store, store, store], 100);
  const { cores } = cluster;
  const [eldest] = cores.toSorted((a, b) => a.membership.current().owner.epoch - b.membership.current().owner.epoch);
  const candidates = eldest?.context.view.nodes.names() ?? [];
  await Promise.all(cores.map((core, index) => createOne(core, `app${index}`, candidates)));
  const nodes = new Map(
    [...(eldest?.context.view.workloads ?? [])].map(([, { value }]) => [value.name.slice(0, 4), value.node]),
  );
  expect(nodes.get(`app${cores.indexOf(eldest as (typeof cores)[number])}`)).toBe('n000');
  expect(new Set(nodes.values()).size).toBe(3);
  for (const { context } of cores) expect((await context.measures.conflicts.get()).values[0]?.value).toBe(0);
  await cluster.close();
  await store.close();
});
