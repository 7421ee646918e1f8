import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { VirtualClock } from '@eru/kit';
import { openEmbeddedStore } from '@eru/store';
import { afterEach, beforeEach, expect, it } from 'vitest';

import type { Netd } from './netd.ts';
import { openNetd } from './open-netd.ts';

let folder: string;
let netd: Netd;
let clock: VirtualClock;
const open = (): Promise<Netd> =>
  openNetd({ folder, namespaceFolder: path.join(folder, 'netns'), node: 'here', roundMs: 3_600_000, clock });
beforeEach(async () => {
  clock = new VirtualClock();
  folder = await mkdtemp(path.join(tmpdir(), 'eru-intents-'));
  netd = await open();
  await netd.putPool({ name: 'p', cidr: '10.9.0.0/29', quarantineMs: 0 });
  await netd.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
});
afterEach(async () => {
  await netd.close();
  await rm(folder, { recursive: true, force: true });
});

const id = 'c'.repeat(64);
const one = { network: 'net', ips: ['10.9.0.4'], ports: [{ containerPort: 80, hostPort: 8080 }] };
const lease = { container: 'request-1', networks: [one], policy: 'fixed', expiresInMs: 60_000 } as const;
const held = async (): Promise<string[]> =>
  (await netd.reservations()).map(({ owner, addresses, state }) => `${owner} ${addresses[0]?.ip} ${state}`).toSorted();

it('reserves at once, refuses with the reason, and leaves nothing of what it refused', async () => {
  const declared = await netd.declare(lease);
  expect(declared).toMatchObject({ owner: 'request-1', networks: [{ ifname: 'eth0' }], sandbox: null });
  expect(declared.reservations).toMatchObject([{ addresses: [{ ip: '10.9.0.4' }], ports: [{ hostPort: 8080 }] }]);
  expect(await netd.declare(lease)).toEqual(declared);
  const refused = async (request: object): Promise<string> =>
    netd.declare({ ...lease, container: 'request-2', ...request }).then(
      () => 'taken',
      (error: Error) => error.message,
    );
  expect(await refused({})).toMatch(/10\.9\.0\.4 .*belongs to request-1/);
  expect(await refused({ networks: [{ network: 'net' }, { ...one, ips: [] }] })).toMatch(/8080.*belongs to request-1/);
  expect(await refused({ networks: [{ network: 'nett' }] })).toBe('there is no network nett; there are: net');
  expect(await refused({ networks: [{ network: 'net', ips: ['10.9.0.300'] }] })).toMatch(/10\.9\.0\.300/);
  expect(await refused({ container: '../etc' })).toMatch(/container: "\.\.\/etc"/);
  expect(await refused({ container: 'request-1', policy: 'ephemeral' })).toMatch(/declared already, otherwise/);
  expect(await held()).toEqual(['request-1 10.9.0.4 reserved']);
  expect(await netd.intents()).toHaveLength(1);
  await netd.forget({ container: 'request-1' });
  await netd.forget({ container: 'request-1' });
  expect([await held(), await netd.intents()]).toEqual([[], []]);
});

it('becomes the created container’s, over a lost answer and a restart, and goes when that is removed', async () => {
  await netd.declare(lease);
  const adopted = await netd.adopt({ from: 'request-1', container: id });
  await netd.close();
  netd = await open();
  expect(await netd.adopt({ from: 'request-1', container: id })).toEqual(adopted);
  await clock.advance(120_000);
  await netd.reconcile();
  expect(await netd.intents({ container: id })).toMatchObject([{ owner: id, reservations: [{ owner: id }] }]);
  await expect(netd.adopt({ from: 'request-2', container: 'd' })).rejects.toMatchObject({ code: 'not_found' });
  expect(await netd.forget({ container: id })).toMatchObject([{ owner: id }]);
  expect(await held()).toEqual([]);
});

it('hands over at the next start what the last one was killed at', async () => {
  await netd.declare(lease);
  await netd.close();
  // As a process leaves it that was killed between its decision and the hand-over.
  const store = await openEmbeddedStore({ folder: path.join(folder, 'state') });
  const record = JSON.parse(Buffer.from((await store.get('intents/request-1'))?.value ?? []).toString()) as object;
  const half = { ...record, container: id, adopts: 'request-1', expiresAt: undefined };
  await store.txn({ then: [{ op: 'put', key: `intents/${id}`, value: Buffer.from(JSON.stringify(half)) }] });
  await store.close();
  netd = await open();
  expect(await netd.intents()).toMatchObject([{ container: id, reservations: [{ owner: id }] }]);
  expect((await netd.intents())[0]).not.toHaveProperty('adopts');
  expect(await readdir(path.join(folder, 'declared'))).toEqual([id]);
});

it('forgets what nobody adopted in time', async () => {
  await netd.declare(lease);
  await netd.declare({ ...lease, container: 'request-2', owner: 'shop', networks: [{ network: 'net' }] });
  await clock.advance(59_000);
  await netd.reconcile();
  expect(await held()).toHaveLength(2);
  await clock.advance(2000);
  await netd.reconcile();
  expect([await held(), await netd.intents()]).toEqual([[], []]);
});

it('gives a named owner what outlives the container, and the next container of that owner the same', async () => {
  const shop = { ...lease, owner: 'shop', networks: [{ network: 'net' }] };
  await netd.declare(shop);
  expect(await held()).toEqual(['request-1 10.9.0.2 reserved']);
  await netd.adopt({ from: 'request-1', container: id });
  await netd.forget({ container: id });
  expect(await held()).toEqual(['shop 10.9.0.2 reserved']);
  expect((await netd.declare(shop)).reservations).toMatchObject([{ owner: 'shop' }]);
  await netd.forget({ container: 'request-1' });
  expect(await held()).toEqual(['shop 10.9.0.2 reserved']);
});

it('keeps for a service what its next container asks again, gives another one what it asks, and goes with the last', async () => {
  const front = (container: string, wanted: object = {}): Promise<unknown> =>
    netd.declare({ ...lease, container, owner: 'front', releasesOwner: true, networks: [{ ...one, ...wanted }] });
  await front('request-1');
  await netd.adopt({ from: 'request-1', container: 'old' });
  expect(await held()).toEqual(['front 10.9.0.4 reserved']);
  await front('request-2');
  await netd.forget({ container: 'request-2' });
  expect(await held()).toEqual(['front 10.9.0.4 reserved']);
  await front('request-3', { ips: ['10.9.0.5'], ports: [{ containerPort: 80, hostPort: 8081 }] });
  await netd.adopt({ from: 'request-3', container: 'new' });
  await netd.forget({ container: 'old' });
  expect(await held()).toEqual(['front 10.9.0.5 reserved']);
  expect(await netd.reservations()).toMatchObject([{ ports: [{ hostPort: 8081 }] }]);
  await netd.declare({ container: 'another', owner: 'front', releasesOwner: true, networks: [{ network: 'net' }] });
  await Promise.all(['new', 'another'].map((container) => netd.forget({ container })));
  expect([await held(), await netd.intents()]).toEqual([[], []]);
});

it('takes one network more or less for a container that does not run', async () => {
  await netd.declare({ container: id, networks: [one], policy: 'fixed' });
  const more = await netd.amend({ container: id, add: { network: 'net', ifname: 'eth7' } });
  expect(more.reservations.map(({ ifname }) => ifname)).toEqual(['eth0', 'eth7']);
  expect(await netd.amend({ container: id, add: { network: 'net' } })).toEqual(more);
  const less = await netd.amend({ container: id, remove: 'eth0' });
  expect(less.networks.map(({ ifname }) => ifname)).toEqual(['eth7']);
  await netd.amend({ container: id, remove: 'net' });
  expect(await held()).toEqual([]);
  await expect(netd.amend({ container: 'x', add: one })).rejects.toMatchObject({ code: 'not_found' });
});

it('forgets containers that their engine does not know in two rounds; of other engines it forgets none', async () => {
  await netd.declare({ container: id, networks: [one], policy: 'fixed' });
  await netd.declare({ container: 'pod', networks: [{ network: 'net' }], policy: 'fixed', engine: 'other' });
  netd.addSource({ kind: 'container', engine: 'docker', owns: () => false, list: async () => [] });
  expect(await netd.reconcile()).toEqual([]);
  expect(await netd.reconcile()).toMatchObject([{ key: `removed/${id}` }]);
  expect(await held()).toEqual(['pod 10.9.0.2 reserved']);
});
