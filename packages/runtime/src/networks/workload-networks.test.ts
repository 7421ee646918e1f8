import { bareSpec } from '@eru/engines';
import { expect, test } from 'vitest';

import { FakeDaemon } from './fake-daemon.suite.ts';
import { ownerOf, wishesOf, type InterfaceWish } from './network-wishes.ts';
import { WorkloadNetworks, type Neighbour } from './workload-networks.ts';
import type { WorkloadRecord } from '../workload/workload-folder.ts';

function workload(name: string, networks: Record<string, string>, before: readonly InterfaceWish[] = []) {
  const spec = bareSpec(name, ['true'], { networks, publish: ['http'] });
  const record: WorkloadRecord = { version: 1, id: `id-${name}`, createdAtMs: 0, spec, ports: { http: 20_000 } };
  const wishes = wishesOf(spec, before);
  const neighbour = (keeps: boolean): Neighbour => ({ name, wishes, keeps });
  return { record, wishes, neighbour };
}

const owners = (daemon: FakeDaemon): string[] =>
  daemon.held.map(({ owner, ip, policy }) => `${ip} ${owner} ${policy}`).toSorted();

test('interfaces keep their names from one workload to the next', () => {
  const old = workload('old', { web: '', db: '' });
  expect(old.wishes.map(({ network, ifname }) => `${ifname} ${network}`)).toEqual(['eth0 web', 'eth1 db']);
  const next = workload('new', { extra: '', db: '' }, old.wishes);
  expect(next.wishes.map(({ network, ifname }) => `${ifname} ${network}`)).toEqual(['eth0 extra', 'eth1 db']);
  expect(ownerOf('a'.repeat(200))).toMatch(/^a{63}-[0-9a-f]{16}$/);
});

/** What is asked of the daemon in each kind of replace, in order; every step may be repeated. */
const replaces: Record<string, (networks: WorkloadNetworks) => (() => Promise<unknown>)[]> = {
  'in place': (networks) => {
    const [old, next] = pair();
    return [
      () => networks.reserve(next.record, next.wishes, old.neighbour(false)),
      () => networks.attach(next.record, next.wishes, old.neighbour(false)),
      () => networks.succeed(next.record, next.wishes, old.neighbour(false), true),
      () => networks.release(old.record, [next.neighbour(true)]),
    ];
  },
  'with overlap': (networks) => {
    const [old, next] = pair();
    return [
      () => networks.attach(old.record, old.wishes),
      () => networks.reserve(next.record, next.wishes, old.neighbour(true)),
      () => networks.attach(next.record, next.wishes, old.neighbour(true)),
      () => networks.detach(old.record),
      () => networks.succeed(next.record, next.wishes, old.neighbour(false), true),
      () => networks.release(old.record, [next.neighbour(true)]),
    ];
  },
};

function pair() {
  const old = workload('old', { web: '', db: '' });
  return [old, workload('new', { web: '10.0.0.2' }, old.wishes)] as const;
}

test.each(Object.keys(replaces))('a replace %s hands the address over, whichever call is lost', async (kind) => {
  let effects = 0;
  for (let lost = -1; lost < effects * 2 || lost < 0; lost++) {
    const daemon = new FakeDaemon();
    const networks = new WorkloadNetworks(daemon.service, 'process');
    const [old] = pair();
    await networks.reserve(old.record, old.wishes);
    daemon.left = lost < 0 ? 1000 : lost >> 1;
    daemon.after = lost % 2 === 1;
    for (const step of replaces[kind]!(networks)) await step().catch(step);
    if (lost < 0) effects = 1000 - daemon.left;
    expect({ lost, held: owners(daemon) }).toEqual({ lost, held: ['10.0.0.2 new fixed'] });
    expect(daemon.sandboxes.get('id-new')?.interfaces).toEqual([{ ifname: 'eth0', network: 'web', ip: '10.0.0.2' }]);
  }
  expect(effects).toBeGreaterThan(2);
});

test.each([true, false])('one that is removed before it has taken over gives back (overlap: %s)', async (overlap) => {
  const daemon = new FakeDaemon();
  const networks = new WorkloadNetworks(daemon.service, 'process');
  const [old, next] = pair();
  await networks.reserve(old.record, old.wishes);
  if (overlap) await networks.attach(old.record, old.wishes);
  await networks.reserve(next.record, next.wishes, old.neighbour(overlap));
  const { addresses } = await networks.attach(next.record, next.wishes, old.neighbour(overlap));
  expect(addresses).toEqual({ web: overlap ? '10.0.0.4' : '10.0.0.2' });
  await networks.detach(next.record);
  await networks.release(next.record, [old.neighbour(overlap)]);
  expect(owners(daemon)).toEqual(['10.0.0.2 old fixed', '10.0.0.3 old fixed']);
});

test.each([
  ['fd00::0002,10.0.0.2', true],
  ['10.0.0.2', true],
  ['10.0.0.2,fd00::9', false],
])('of both families, one that wants %s takes over: %s', async (wanted, inherits) => {
  const daemon = new FakeDaemon();
  const networks = new WorkloadNetworks(daemon.service, 'process');
  const old = workload('old', { web: '10.0.0.2,fd00::2' });
  await networks.reserve(old.record, old.wishes);
  const next = workload('new', { web: wanted }, old.wishes);
  await networks.reserve(next.record, next.wishes, old.neighbour(false));
  const { addresses } = await networks.attach(next.record, next.wishes, old.neighbour(false));
  expect(addresses).toEqual({ web: inherits ? '10.0.0.2,fd00::2' : wanted });
  expect(daemon.held.map(({ owner }) => owner)).toEqual(inherits ? ['new'] : ['old', 'new']);
});

test('an address of somebody else is busy', async () => {
  const daemon = new FakeDaemon();
  const networks = new WorkloadNetworks(daemon.service, 'process');
  const [old] = pair();
  await networks.reserve(old.record, old.wishes);
  const other = workload('other', { web: '10.0.0.2' });
  await expect(networks.reserve(other.record, other.wishes)).rejects.toMatchObject({
    code: 'busy',
    message: "networks: 10.0.0.2 is somebody's",
  });
});
