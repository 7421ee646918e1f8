import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openEmbeddedStore } from '@eru/store';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { Allocator } from '../ipam/allocator.ts';
import type { Netd } from './netd.ts';
import { openNetd } from './open-netd.ts';

let folder: string;
let netd: Netd;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-netd-'));
  netd = await openNetd({ folder, namespaceFolder: path.join(folder, 'netns'), node: 'here', roundMs: 3_600_000 });
  await netd.putPool({ name: 'p', cidr: '10.9.0.0/24' });
  await netd.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
});
afterEach(async () => {
  await netd.close();
  await rm(folder, { recursive: true, force: true });
});
const reserve = (owner: string, kind: string): Promise<unknown> =>
  netd.reserve({ owner, kind, network: { network: 'net' } });
const owners = async (): Promise<string[]> => (await netd.reservations()).map(({ owner }) => owner).toSorted();
const round = async (): Promise<string[]> => (await netd.reconcile()).map(({ key }) => key);

it('releases what a workload held that its engine does not know in two rounds, and nothing that nobody can be asked about', async () => {
  for (const owner of ['there', 'gone']) await reserve(owner, 'container');
  await reserve('machine', 'vm');
  let workloads: { id: string; owner: string; running: boolean }[] | undefined = [
    { id: 'c1', owner: 'there', running: false },
  ];
  netd.addSource({
    kind: 'container',
    list: () =>
      workloads === undefined ? Promise.reject(new Error('the engine is silent')) : Promise.resolve(workloads),
  });
  expect(await round()).toEqual([]);
  const known = workloads;
  workloads = undefined; // A silent engine is no second observation.
  expect(await round()).toEqual([]);
  workloads = known;
  expect(await round()).toEqual([]);
  expect(await owners()).toEqual(['gone', 'machine', 'there']);
  expect(await round()).toEqual(['gone/gone/eth0']);
  expect(await owners()).toEqual(['machine', 'there']);
});

it('unbinds what is bound here and attached nowhere, after two rounds', async () => {
  await reserve('web', 'process');
  await netd.close();
  const store = await openEmbeddedStore({ folder: path.join(folder, 'state') });
  const other = await Allocator.open({ store, node: 'here' });
  await other.bind('web', 'eth0');
  other.close();
  await store.close();
  netd = await openNetd({ folder, namespaceFolder: path.join(folder, 'netns'), node: 'here', roundMs: 3_600_000 });
  expect((await netd.diagnose()).map(({ key }) => key)).toEqual(['bound/web/eth0']);
  expect(await round()).toEqual([]);
  expect(await round()).toEqual(['bound/web/eth0']);
  expect(await netd.reservations()).toMatchObject([{ owner: 'web', state: 'reserved' }]);
  expect(await netd.diagnose()).toEqual([]);
});
