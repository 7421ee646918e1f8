import { seededRandom, VirtualClock } from '@eru/kit';
import { openMemoryStore, type Store } from '@eru/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { Allocator, type ReserveRequest } from './allocator.ts';

let store: Store;
let clock: VirtualClock;
const open: Allocator[] = [];
const node = async (name: string, on: Store = store): Promise<Allocator> => {
  const allocator = await Allocator.open({ store: on, node: name, clock, random: seededRandom(open.length + 1) });
  open.push(allocator);
  return allocator;
};
beforeEach(async () => {
  clock = new VirtualClock();
  store = await openMemoryStore();
});
afterEach(async () => {
  for (const allocator of open.splice(0)) allocator.close();
  await store.close();
});

const ask = (owner: string, more: Partial<ReserveRequest> = {}): ReserveRequest => ({
  owner,
  ifname: 'eth0',
  kind: 'container',
  network: 'net',
  pools: ['p'],
  ...more,
});
const ips = ({ addresses }: { addresses: readonly { ip: string }[] }): string[] => addresses.map(({ ip }) => ip);

describe('a reservation', () => {
  it('outlives stop and node, and rests in quarantine before somebody else gets its address', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/30' });
    const held = await a.reserve(ask('web', { mac: 'auto' }));
    expect(held).toMatchObject({ state: 'reserved', epoch: 1, mac: expect.stringMatching(/^02(:[0-9a-f]{2}){5}$/) });
    expect(await a.reserve(ask('web', { mac: 'auto' }))).toEqual(held);
    expect(await a.bind('web', 'eth0')).toMatchObject({ state: 'bound', addresses: held.addresses, mac: held.mac });
    await expect(a.release('web')).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining('stop the workload first'),
    });
    await a.unbind('web', 'eth0');
    await a.unbind('web', 'eth0');
    const b = await node('b');
    expect(ips(await b.bind('web', 'eth0'))).toEqual(['10.0.0.2']);
    await expect(a.bind('web', 'eth0')).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining('bound on node b'),
    });
    await a.unbind('web', 'eth0'); // Not a's any more: nothing happens.
    expect(b.view.reservation('web', 'eth0')).toMatchObject({ state: 'bound', node: 'b' });
    await b.unbind('web', 'eth0');
    expect(await b.release('web')).toHaveLength(1);
    expect(await b.release('web')).toEqual([]);
    await expect(b.reserve(ask('next'))).rejects.toMatchObject({
      code: 'no_capacity',
      message: expect.stringContaining('the next of them free in 30 s'),
    });
    expect(b.exhausted.get('p')).toBe(1);
    await clock.advance(30_000);
    expect(ips(await b.reserve(ask('next')))).toEqual(['10.0.0.2']);
  });

  it('that was never bound leaves no quarantine; a pinned one does not wait for it', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/30' });
    await a.reserve(ask('one'));
    await a.release('one');
    await a.reserve(ask('two'));
    await a.bind('two', 'eth0');
    await a.unbind('two', 'eth0');
    await a.release('two');
    await expect(a.reserve(ask('three'))).rejects.toMatchObject({ code: 'no_capacity' });
    expect(await a.reserve(ask('three', { ips: ['10.0.0.2'] }))).toMatchObject({ pinned: true });
    await expect(a.reserve(ask('four', { ips: ['10.0.0.2'] }))).rejects.toThrow(
      '10.0.0.2 of pool p belongs to three (eth0)',
    );
  });

  it('has an address of each family', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/29' });
    await a.putPool({ name: 'six', cidr: 'fd00::/64' });
    const dual = { pools: ['p', 'six'] };
    expect(ips(await a.reserve(ask('auto', dual)))).toEqual(['10.0.0.2', 'fd00::2']);
    expect(ips(await a.reserve(ask('half', { ...dual, ips: ['FD00::0:99'] })))).toEqual(['fd00::99', '10.0.0.3']);
    await expect(a.reserve(ask('x', { ...dual, ips: ['10.0.0.5', '10.0.0.6'] }))).rejects.toThrow(
      /one address of a family/,
    );
    await expect(a.reserve(ask('x', { ...dual, ips: ['10.9.0.5'] }))).rejects.toThrow(
      /in none of the network's pools: 10\.0\.0\.0\/29, fd00::\/64/,
    );
    await expect(a.reserve(ask('x', { pools: ['q'] }))).rejects.toThrow('there is no pool q; there are: p, six');
  });

  it('takes from the first pool of a family that has room', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/30' });
    await a.putPool({ name: 'q', cidr: '10.1.0.0/30' });
    for (const owner of ['one', 'two']) await a.reserve(ask(owner, { pools: ['p', 'q'] }));
    expect(ips(a.view.reservation('two', 'eth0') as never)).toEqual(['10.1.0.2']);
    await expect(a.reserve(ask('three', { pools: ['p', 'q'] }))).rejects.toThrow(
      /pool p .* is full.*; pool q .* is full/,
    );
  });

  it('keeps what it holds apart from what others hold: MACs and ports', async () => {
    const a = await node('a');
    const b = await node('b');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    const tcp = (hostPort: number, hostIp = ''): object => ({ hostPort, containerPort: 80, hostIp });
    await a.reserve(ask('one', { mac: '02:00:00:00:00:AA', ports: [tcp(80), tcp(81, '127.0.0.1')] as never }));
    await expect(b.reserve(ask('x', { mac: '02:00:00:00:00:aa' }))).rejects.toThrow(
      'MAC 02:00:00:00:00:aa belongs to one',
    );
    await expect(a.reserve(ask('x', { ports: [tcp(80, '10.1.1.1')] as never }))).rejects.toThrow(
      'port 10.1.1.1:80/tcp of node a belongs to one',
    );
    await expect(a.reserve(ask('x', { ports: [tcp(81)] as never }))).rejects.toThrow(/port 81\/tcp/);
    await a.reserve(ask('two', { ports: [tcp(81, '127.0.0.2')] as never }));
    await b.reserve(ask('three', { ports: [tcp(80)] as never })); // Another machine.
    await expect(b.bind('one', 'eth0')).rejects.toThrow(/port 80\/tcp of node b belongs to three/);
    await a.release('one');
    await a.reserve(ask('four', { ports: [tcp(81, '127.0.0.1'), { hostPort: 0, containerPort: 1 }] as never }));
    const [, free] = a.view.reservation('four', 'eth0')?.ports ?? [];
    expect(free?.hostPort).toBeGreaterThanOrEqual(32768);
    // The same owner may ask for other ports while it is stopped.
    expect((await a.reserve(ask('four', { ports: [tcp(90)] as never }))).ports).toMatchObject([{ hostPort: 90 }]);
    await a.reserve(ask('five', { ports: [tcp(81, '127.0.0.1')] as never }));
  });

  it('is the same however often it is asked for, and refuses what contradicts it', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    const all = await Promise.all(Array.from({ length: 20 }, () => a.reserve(ask('one'))));
    expect(new Set(all.map(({ change }) => change)).size).toBe(1);
    await expect(a.reserve(ask('one', { ips: ['10.0.0.77'] }))).rejects.toThrow(
      /one \(eth0\) holds 10\.0\.0\.2; release it/,
    );
    await expect(a.reserve(ask('one', { network: 'other' }))).rejects.toThrow(/holds addresses of network net/);
    await expect(a.reserve(ask('../x'))).rejects.toThrow(/owner/);
  });

  it('of a temporary owner ends by itself, unless it is handed over', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    for (const owner of ['request-1', 'request-2']) await a.reserve(ask(owner, { expiresInMs: 60_000 }));
    await a.transfer('request-1', 'container');
    await clock.advance(59_000);
    expect((await a.sweep()).expired).toEqual([]);
    await clock.advance(1000);
    expect((await a.sweep()).expired.map(({ owner }) => owner)).toEqual(['request-2']);
    expect(a.view.reservations().map(({ owner }) => owner)).toEqual(['container']);
  });

  it('of an ephemeral owner ends at its stop; idle ones where their pool says so', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24', idleMs: 1000 });
    for (const [owner, policy] of [
      ['fixed', 'fixed'],
      ['short', 'ephemeral'],
    ] as const) {
      await a.reserve(ask(owner, { policy }));
      await a.bind(owner, 'eth0');
    }
    await a.reserve(ask('never', { policy: 'ephemeral' }));
    await a.unbind('never', 'eth0');
    expect(a.view.reservation('never', 'eth0')).toBeUndefined();
    expect(await a.reserve(ask('at-once', { bind: true }))).toMatchObject({ state: 'bound', wasBound: true });
    await a.unbind('at-once', 'eth0');
    await a.release('at-once');
    await clock.advance(5000);
    expect((await a.sweep()).idle).toEqual([]);
    for (const owner of ['fixed', 'short']) await a.unbind(owner, 'eth0');
    expect(a.view.reservations().map(({ owner }) => owner)).toEqual(['fixed']);
    await clock.advance(1000);
    expect((await a.sweep()).idle.map(({ owner }) => owner)).toEqual(['fixed']);
    await clock.advance(30_000);
    expect((await a.sweep()).rested).toBe(3);
    expect((await store.range({ prefix: 'network/addresses/' })).kvs).toEqual([]);
  });
});

describe('a transfer', () => {
  it('hands everything over at once, and fences whoever acts for the first owner', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    for (const ifname of ['eth0', 'eth1']) await a.reserve(ask('old', { ifname, mac: 'auto' }));
    const before = a.view.reservations('old');
    await a.bind('old', 'eth0');
    await expect(a.transfer('old', 'new')).rejects.toMatchObject({ code: 'precondition' });
    await a.unbind('old', 'eth0');
    await expect(a.transfer('old', 'new', { epoch: 7 })).rejects.toMatchObject({ code: 'fenced' });
    const after = await a.transfer('old', 'new', { epoch: 1 });
    expect(after).toMatchObject(before.map(({ addresses, mac }) => ({ owner: 'new', epoch: 2, addresses, mac })));
    expect(await a.transfer('old', 'new')).toEqual(after);
    await expect(a.bind('old', 'eth0')).rejects.toMatchObject({ code: 'not_found' });
    await expect(a.bind('new', 'eth0', { epoch: 1 })).rejects.toMatchObject({ code: 'fenced' });
    await a.bind('new', 'eth0', { epoch: 2 });
    await expect(a.transfer('nobody', 'x')).rejects.toMatchObject({ code: 'not_found' });
  });

  it('takes from a lost node, whose late unbind changes nothing', async () => {
    const [a, b] = [await node('a'), await node('b')];
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    await a.reserve(ask('web', { policy: 'ephemeral' }));
    await a.bind('web', 'eth0', { epoch: 1 });
    await b.transfer('web', 'web-2', { lost: true });
    await b.transfer('web-2', 'web');
    expect(await b.bind('web', 'eth0')).toMatchObject({ epoch: 3, node: 'b' });
    await a.unbind('web', 'eth0', { epoch: 1 });
    expect(b.view.reservation('web', 'eth0')).toMatchObject({ state: 'bound', node: 'b' });
  });

  it('goes to nobody who has something there', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    for (const owner of ['one', 'two']) await a.reserve(ask(owner));
    await expect(a.transfer('one', 'two')).rejects.toMatchObject({ code: 'exists' });
  });
});

describe('blocks', () => {
  it('keep the addresses of a node together; a full node borrows, unless the pool is strict', async () => {
    const [a, b] = [await node('a'), await node('b')];
    await a.putPool({ name: 'p', cidr: '10.0.0.0/28', blockSize: 29 });
    const given = async (allocator: Allocator, count: number): Promise<string[]> => {
      const all: string[] = [];
      for (let index = 0; index < count; index++)
        all.push(...ips(await allocator.reserve(ask(`${allocator.node}-${all.length}-${clock.now()}`))));
      return all;
    };
    expect(await given(a, 2)).toEqual(['10.0.0.2', '10.0.0.3']);
    expect(await given(b, 2)).toEqual(['10.0.0.8', '10.0.0.9']);
    await clock.advance(1);
    expect(await given(a, 5)).toEqual(['10.0.0.4', '10.0.0.5', '10.0.0.6', '10.0.0.7', '10.0.0.10']);
    await a.putPool({ name: 'p', cidr: '10.0.0.0/28', blockSize: 29, strict: true });
    await clock.advance(1);
    await expect(given(a, 1)).rejects.toThrow(/blocks of other nodes \(strict\)/);
    expect(await given(b, 1)).toEqual(['10.0.0.11']);
    for (const { owner } of b.view.reservations()) if (owner.startsWith('b')) await b.release(owner);
    expect((await b.sweep()).blocks).toEqual([]); // a has borrowed from it.
    for (const { owner } of a.view.reservations()) await a.release(owner);
    expect((await a.sweep()).blocks).toEqual(['10.0.0.0/29']);
    expect((await b.sweep()).blocks).toEqual(['10.0.0.8/29']);
  });

  it('are not needed in a pool that each node has for itself', async () => {
    const [a, b] = [await node('a'), await node('b')];
    await a.putPool({ name: 'p', cidr: '10.0.0.0/29', scope: 'node' });
    expect(ips(await a.reserve(ask('one')))).toEqual(['10.0.0.2']);
    expect(ips(await b.reserve(ask('two')))).toEqual(['10.0.0.2']);
    await expect(b.bind('one', 'eth0')).rejects.toThrow(/pool p is each node's own/);
  });
});

describe('a pool', () => {
  it('has no address that another one has, unless each node has both for itself', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24', quarantineMs: 5 });
    for (const cidr of ['10.0.0.128/25', '10.0.0.0/16'])
      await expect(a.putPool({ name: 'q', cidr, scope: 'node' })).rejects.toThrow(
        `pool q: ${cidr} has addresses in common with pool p (10.0.0.0/24); take another subnet`,
      );
    await a.putPool({ name: 'q', cidr: '10.0.1.0/24', scope: 'node' });
    await a.putPool({ name: 'r', cidr: '10.0.1.0/25', scope: 'node' });
    await a.putPool({ name: 'six', cidr: 'fd00::/64' });
    expect([...a.view.pools()].map(({ definition }) => definition.name)).toEqual(['p', 'q', 'r', 'six']);
  });

  it('that was full has room again after a release, after a quarantine, after it was widened', async () => {
    const [a, b] = [await node('a'), await node('b')];
    const pool = { name: 'p', cidr: '10.0.0.0/24', blockSize: 30 };
    await a.putPool({ ...pool, ranges: ['10.0.0.4-10.0.0.9'] });
    const fill = async (round: string): Promise<string[]> => {
      const all: string[] = [];
      for (;;) {
        const more = await a.reserve(ask(`${round}-${all.length}`)).then(ips, () => []);
        if (more.length === 0) return all;
        all.push(...more);
      }
    };
    expect(await fill('first')).toHaveLength(6);
    await b.release('first-2'); // Somebody else; its watch tells.
    await expect.poll(() => a.view.reservation('first-2', 'eth0')).toBeUndefined();
    expect(await fill('second')).toEqual(['10.0.0.6']);
    await a.bind('first-5', 'eth0');
    await a.unbind('first-5', 'eth0');
    await a.release('first-5');
    expect(await fill('third')).toEqual([]);
    await clock.advance(30_000);
    expect(await fill('fourth')).toEqual(['10.0.0.9']);
    await a.putPool({ ...pool, ranges: ['10.0.0.4-10.0.0.10'] });
    expect(await fill('fifth')).toEqual(['10.0.0.10']);
  });

  it('that is full is not looked through for each reservation', async () => {
    const a = await node('a');
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24', blockSize: 28 });
    for (let index = 0; index < 253; index++) await a.reserve(ask(`${index}`));
    await expect(a.reserve(ask('late'))).rejects.toMatchObject({ code: 'no_capacity' });
    let looks = 0;
    const taken = a.view.taken('p') as Map<bigint, unknown>;
    const get = taken.get.bind(taken);
    taken.get = (value) => {
      looks += 1;
      return get(value);
    };
    await expect(a.reserve(ask('later'))).rejects.toMatchObject({ code: 'no_capacity' });
    expect(looks).toBe(0);
  });

  it('stays while somebody holds an address of it, and gives out nothing while it goes', async () => {
    const [a, b] = [await node('a'), await node('b')];
    await a.putPool({ name: 'p', cidr: '10.0.0.0/24' });
    await b.reserve(ask('one'));
    await expect(a.removePool('p')).rejects.toThrow('pool p: one holds an address of it');
    await expect(a.putPool({ name: 'p', cidr: '10.0.0.0/23' })).rejects.toThrow(/stays so; remove it first/);
    await b.release('one');
    await Promise.all([
      a.removePool('p'),
      expect(b.reserve(ask('two'))).rejects.toMatchObject({
        code: expect.stringMatching(/^(precondition|not_found)$/),
      }),
    ]);
    expect((await store.range({ prefix: 'network/' })).kvs).toEqual([]);
    await a.removePool('p');
  });
});
