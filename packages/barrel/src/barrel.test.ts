import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';

import { silentLogger, type JsonObject } from '@eru/kit';
import { openNetd, type Netd } from '@eru/network';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { openBarrel } from './barrel.ts';
import { FakeDockerd } from './fake-dockerd.suite.ts';

/** A real network daemon without plugins, and a dockerd that keeps what it is sent. */
let folder: string;
let netd: Netd;
let dockerd: FakeDockerd;
let barrel: Awaited<ReturnType<typeof openBarrel>>;
const at = (name: string): string => path.join(folder, name);
const openProxy = (over: Partial<Netd> = {}): ReturnType<typeof openBarrel> =>
  openBarrel({
    netd: new Proxy(netd, {
      get: (target, name) => {
        const value: unknown = Reflect.get({ ...over }, name) ?? Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    }),
    dockerd: `unix://${at('dockerd')}`,
    hosts: [`unix://${at('barrel')}`],
    own: at('own'),
    rules: { runtime: 'eru' },
    logger: silentLogger,
  });

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-barrel-'));
  netd = await openNetd({ folder: at('netd'), namespaceFolder: at('netns'), node: 'here', roundMs: 3_600_000 });
  await netd.putPool({ name: 'web', cidr: '10.8.0.0/29', quarantineMs: 0 });
  await netd.putNetwork({ name: 'web', driver: 'bridge', pools: ['web'] });
  dockerd = await FakeDockerd.open(at('dockerd'));
  barrel = await openProxy();
});
afterEach(async () => {
  await barrel.close();
  dockerd.close();
  await netd.close();
  await rm(folder, { recursive: true, force: true });
});

async function ask(method: string, target: string, body?: object, socket = 'barrel'): Promise<[number, JsonObject]> {
  const request = http.request({ socketPath: at(socket), method, path: target, agent: false });
  request.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const answer = await text(response);
  return [response.statusCode ?? 0, (answer === '' ? {} : JSON.parse(answer)) as JsonObject];
}
const create = (name: string, more: object = {}): ReturnType<typeof ask> =>
  ask('POST', `/v1.41/containers/create?name=${name}`, {
    Image: 'x',
    HostConfig: { NetworkMode: 'web' },
    Labels: { 'fixed-ip': '' },
    ...more,
  });
const held = async (): Promise<string[]> =>
  (await netd.reservations())
    .map(({ owner, addresses: [one] }) => `${owner.replace(/^0*(?=.)/, '')} ${one?.ip}`)
    .toSorted();

describe('a creation', () => {
  it('is a container without network for dockerd, and has its address before the answer', async () => {
    const [status, { Id: id }] = await create('shop');
    expect(status).toBe(201);
    expect(await held()).toEqual(['1 10.8.0.2']);
    const [kept] = dockerd.containers.values();
    expect(kept?.body).toMatchObject({
      HostConfig: { NetworkMode: 'none', Runtime: 'eru' },
      NetworkingConfig: { EndpointsConfig: {} },
      Labels: { 'fixed-ip': '' },
    });
    expect(await ask('GET', '/containers/shop/json')).toMatchObject([
      200,
      {
        HostConfig: { NetworkMode: 'web' },
        NetworkSettings: {
          Networks: {
            web: { IPAddress: '10.8.0.2', IPPrefixLen: 29, EndpointID: '', IPAMConfig: { IPv4Address: '10.8.0.2' } },
          },
        },
      },
    ]);
    expect(await ask('DELETE', `/containers/${id as string}?force=1`)).toEqual([204, {}]);
    expect(await held()).toEqual([]);
  });

  it.each(['refused', 'lost'] as const)('that dockerd has %s leaves nothing reserved', async (creation) => {
    dockerd.creation = creation;
    expect((await create('shop'))[0]).toBe(creation === 'refused' ? 409 : 502);
    expect(await held()).toEqual([]);
    expect(await netd.intents()).toEqual([]);
  });

  it('that claims what another has is refused before dockerd hears of it', async () => {
    await create('one', { Labels: { 'eru.network/ip': '10.8.0.4' } });
    const [status, { message }] = await create('two', { Labels: { 'eru.network/ip': '10.8.0.4' } });
    expect([status, message]).toEqual([409, expect.stringMatching(/10\.8\.0\.4 .*belongs to 0+1/)]);
    expect(dockerd.containers.size).toBe(1);
    expect(await held()).toEqual(['1 10.8.0.4']);
  });

  it('that the network daemon cannot complete is undone', async () => {
    await barrel.close();
    barrel = await openProxy({ adopt: () => Promise.reject(new Error('broken')) });
    expect((await create('shop'))[0]).toBe(500);
    expect(dockerd.containers.size).toBe(0);
    expect(await held()).toEqual([]);
  });

  it('whose time is over when dockerd answers is reserved anew', async () => {
    await barrel.close();
    barrel = await openProxy({
      adopt: async (request) => {
        await netd.forget({ container: (request as { from: string }).from });
        return netd.adopt(request);
      },
    });
    expect((await create('shop'))[0]).toBe(201);
    expect(await held()).toEqual(['1 10.8.0.3']);
  });

  it('of a proxy that died before its answer is completed by the next one', async () => {
    await barrel.close();
    const never = new Promise<never>(() => {});
    const dying = await openProxy({ adopt: () => never });
    const cut = create('shop').catch(() => 'cut');
    await expect.poll(() => dockerd.containers.size).toBe(1);
    expect(await held()).toEqual([expect.stringMatching(/^req-.* 10\.8\.0\.2$/)]);
    await dying.close();
    expect(await cut).toBe('cut');
    barrel = await openProxy();
    await expect.poll(() => netd.intents()).toMatchObject([{ container: '1'.padStart(64, '0') }]);
    expect(await held()).toEqual(['1 10.8.0.2']);
    await ask('DELETE', '/containers/shop');
    expect(await held()).toEqual([]);
  });

  it('for an owner: the next container of the owner has its address', async () => {
    const Labels = { 'eru.network/owner': 'web-1' };
    await create('old', { Labels });
    await ask('DELETE', '/containers/old');
    expect(await held()).toEqual(['web-1 10.8.0.2']);
    await create('new', { Labels });
    expect(await held()).toEqual(['web-1 10.8.0.2']);
  });

  it("on Docker's networks goes through as it was, also while the network daemon is silent", async () => {
    await barrel.close();
    const silent = (): Promise<never> => Promise.reject(new Error('silent'));
    barrel = await openProxy({ networks: silent, intents: silent });
    expect((await create('plain', { HostConfig: { NetworkMode: 'bridge' } }))[0]).toBe(201);
    expect((await create('other', { HostConfig: { NetworkMode: 'docks' } }))[0]).toBe(201);
    expect([...dockerd.containers.values()].map(({ body }) => body.HostConfig)).toEqual([
      { NetworkMode: 'bridge' },
      { NetworkMode: 'docks' },
    ]);
    expect((await ask('GET', '/containers/json'))[0]).toBe(200);
    expect((await ask('GET', '/ready', undefined, 'own'))[0]).toBe(503);
  });
});

describe('lists and networks', () => {
  it('a filter on our network is ours to apply, with its limit', async () => {
    await create('a');
    await create('plain', { HostConfig: {}, Labels: {} });
    await create('b');
    const filters = encodeURIComponent(JSON.stringify({ network: ['web'], status: ['created'] }));
    const [, listed] = await ask('GET', `/containers/json?all=1&limit=1&filters=${filters}`);
    expect(listed).toMatchObject([
      { Names: ['/a'], NetworkSettings: { Networks: { web: { IPAddress: '10.8.0.2' } } } },
    ]);
    expect(dockerd.heard.at(-1)).toBe(
      `GET /containers/json?all=1&filters=${encodeURIComponent('{"status":["created"]}')}`,
    );
    await ask('POST', '/containers/prune');
    expect(await held()).toEqual([]);
  });

  it('networks are made, shown, filtered, kept while in use, and removed', async () => {
    const IPAM = { Config: [{ Subnet: '10.9.0.0/24', Gateway: '10.9.0.254' }] };
    const [status, { Id }] = await ask('POST', '/networks/create', {
      Name: 'db',
      Driver: 'eru',
      IPAM,
      Labels: { a: 'b' },
    });
    expect(status).toBe(201);
    const names = async (filters: object): Promise<unknown[]> => {
      const [, listed] = await ask('GET', `/networks?filters=${encodeURIComponent(JSON.stringify(filters))}`);
      return (listed as unknown as { Name: string }[]).map(({ Name }) => Name).toSorted();
    };
    expect(await names({})).toEqual(['bridge', 'db', 'web']);
    expect(await names({ label: { 'a=b': true } })).toEqual(['bridge', 'db']);
    expect(await names({ name: ['we'], driver: ['eru'] })).toEqual(['bridge', 'web']);
    expect(await ask('GET', `/networks/${(Id as string).slice(0, 12)}`)).toMatchObject([
      200,
      { Name: 'db', Driver: 'eru', IPAM, Labels: { a: 'b' } },
    ]);
    expect((await ask('POST', '/networks/create', { Name: 'db', Driver: 'bridge' }))[0]).toBe(409);
    expect(await ask('POST', '/networks/create', { Name: 'x', Driver: 'eru' })).toMatchObject([
      400,
      { message: expect.stringContaining('needs a subnet') },
    ]);
    await create('user', { HostConfig: { NetworkMode: 'db' } });
    expect((await ask('DELETE', '/networks/db'))[0]).toBe(403);
    await ask('DELETE', '/containers/user');
    expect((await ask('DELETE', '/networks/db'))[0]).toBe(204);
    expect((await netd.pools()).map(({ definition }) => definition.name)).toEqual(['web']);
  });

  it('auxiliary addresses are shown again, and given to nobody', async () => {
    const make = (Name: string, AuxiliaryAddresses: object, more: object = {}): ReturnType<typeof ask> =>
      ask('POST', '/networks/create', {
        Name,
        Driver: 'eru',
        IPAM: { Config: [{ Subnet: '10.9.0.0/29', AuxiliaryAddresses }] },
        ...more,
      });
    expect((await make('db', { printer: '10.9.0.2', nas: '10.9.0.4' }))[0]).toBe(201);
    const [, shown] = await ask('GET', '/networks/db');
    expect(shown).toMatchObject({
      IPAM: { Config: [{ AuxiliaryAddresses: { printer: '10.9.0.2', nas: '10.9.0.4' } }] },
      Labels: {},
    });
    expect(shown['Created']).toMatch(/^2\d{3}-\d\d-\d\dT/);
    for (const name of ['one', 'two', 'three']) await create(name, { HostConfig: { NetworkMode: 'db' } });
    expect(await held()).toEqual(['1 10.9.0.3', '2 10.9.0.5', '3 10.9.0.6']);
    const pinned = await create('four', {
      HostConfig: { NetworkMode: 'db' },
      Labels: { 'eru.network/ip': '10.9.0.4' },
    });
    expect(pinned).toMatchObject([400, { message: expect.stringContaining('10.9.0.4 cannot be had') }]);
    expect(await make('x', { far: '10.8.0.2' })).toMatchObject([
      400,
      { message: expect.stringMatching(/AuxiliaryAddresses far: "10\.8\.0\.2" is not allowed; write one of 10\.9/) },
    ]);
    expect((await make('x', {}, { Labels: { 'eru.network/docker': '{}' } }))[0]).toBe(400);
  });

  it('prune takes what was made through the proxy and nobody uses, and nothing else', async () => {
    const make = (Name: string, Subnet: string): ReturnType<typeof ask> =>
      ask('POST', '/networks/create', { Name, Driver: 'eru', IPAM: { Config: [{ Subnet }] } });
    await make('stopped', '10.9.0.0/24');
    await make('held', '10.10.0.0/24');
    await make('unused', '10.11.0.0/24');
    await create('plain', { HostConfig: { NetworkMode: 'stopped' }, Labels: {} });
    await netd.reserve({ owner: 'shop', kind: 'manual', network: { network: 'held', ifname: 'eth0' } });
    const dangling = async (value: string): Promise<unknown[]> => {
      const filters = encodeURIComponent(JSON.stringify({ dangling: [value], driver: ['eru'] }));
      const [, listed] = await ask('GET', `/networks?filters=${filters}`);
      return (listed as unknown as { Name: string }[])
        .map(({ Name }) => Name)
        .filter((name) => name !== 'bridge')
        .toSorted();
    };
    expect(await dangling('true')).toEqual(['unused', 'web']);
    expect(await dangling('false')).toEqual(['held', 'stopped']);
    const prune = async (filters: object = {}): Promise<unknown> => {
      const [, answer] = await ask('POST', `/networks/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`);
      return (answer['NetworksDeleted'] as string[]).toSorted();
    };
    expect(await prune({ until: ['1h'] })).toEqual(['of-docker']);
    expect(await prune()).toEqual(['of-docker', 'unused']);
    await expect(netd.removeNetwork({ name: 'stopped' })).rejects.toThrow(/container 0+1 is to be on it/);
    await ask('DELETE', '/containers/plain');
    await netd.release({ owner: 'shop' });
    expect(await prune()).toEqual(['held', 'of-docker', 'stopped']);
    expect((await netd.networks()).map(({ definition }) => definition.name)).toEqual(['web']);
    expect((await netd.pools()).map(({ definition }) => definition.name)).toEqual(['web']);
  });

  it('prune leaves what another machine takes addresses from, and all while the network daemon is silent', async () => {
    await ask('POST', '/networks/create', {
      Name: 'far',
      Driver: 'eru',
      IPAM: { Config: [{ Subnet: '10.9.0.0/24' }] },
    });
    const pruned = async (over: Partial<Netd>): Promise<unknown> => {
      await barrel.close();
      barrel = await openProxy(over);
      return (await ask('POST', '/networks/prune'))[1]['NetworksDeleted'];
    };
    const pools = await netd.pools();
    const blocks = [{ node: 'there', cidr: '10.9.0.0/26' }];
    expect(await pruned({ pools: () => Promise.resolve(pools.map((pool) => ({ ...pool, blocks }))) })).toEqual([
      'of-docker',
    ]);
    expect(await pruned({ reservations: () => Promise.reject(new Error('silent')) })).toEqual(['of-docker']);
    expect(await pruned({})).toEqual(['of-docker', 'far']);
  });

  it('a stopped container is connected and disconnected for its next start', async () => {
    await netd.putPool({ name: 'db', cidr: '10.9.0.0/24', quarantineMs: 0 });
    await netd.putNetwork({ name: 'db', driver: 'bridge', pools: ['db'] });
    await create('joint');
    const EndpointConfig = { IPAMConfig: { IPv4Address: '10.9.0.9' } };
    expect(await ask('POST', '/networks/db/connect', { Container: 'joint', EndpointConfig })).toEqual([200, {}]);
    expect(await held()).toEqual(['1 10.8.0.2', '1 10.9.0.9']);
    expect(await ask('POST', '/networks/db/disconnect', { Container: 'joint', Force: true })).toEqual([200, {}]);
    expect((await ask('POST', '/networks/db/disconnect', { Container: 'joint' }))[0]).toBe(409);
    expect(await held()).toEqual(['1 10.8.0.2']);
    await create('plain', { HostConfig: {}, Labels: {} });
    expect(await ask('POST', '/networks/db/connect', { Container: 'plain' })).toMatchObject([
      403,
      { message: expect.stringContaining("on Docker's network bridge") },
    ]);
    expect((await ask('POST', '/networks/db/connect', { Container: 'nobody' }))[0]).toBe(404);
  });
});

describe('options that are wrong', () => {
  it.each([
    [{ dockerd: 'ssh://host' }, /^--dockerd-path: "ssh:\/\/host" is not allowed/],
    [{ dockerd: 'tcp://10.0.0.1:2375' }, /^--dockerd-path: .* without TLS only this machine is asked/],
    [{ dockerdTls: { ca: '/nowhere' } }, /^--dockerd-path: .* TLS is for tcp:/],
    [{ dockerd: 'tcp://127.0.0.1:2376', dockerdTls: { key: '/nowhere' } }, /^--dockerd-ca is missing/],
    [{ dockerd: 'tcp://127.0.0.1:2376', dockerdTls: { ca: '/x', key: '/x' } }, /belong together; give both/],
    [
      { dockerd: 'tcp://127.0.0.1:2376', dockerdTls: { ca: '/nowhere' } },
      /^--dockerd-ca: "\/nowhere" .* cannot be read/,
    ],
    [{ hosts: ['http://0.0.0.0:2375'] }, /only this machine may call/],
    [{ hosts: ['https://0.0.0.0:2376'] }, /TLS needs --server-cert, --server-key and --client-ca/],
    [{ hosts: ['ftp://x'] }, /^--host: "ftp:\/\/x" is not allowed/],
    [{ group: 'no such group' }, /^--group/],
    [
      { hosts: ['https://127.0.0.1:0'], tls: { cert: '/nowhere', key: '/nowhere', clientCa: '/nowhere' } },
      /^--server-cert: "\/nowhere" is not allowed; it cannot be read/,
    ],
  ])('%j', async (options, message) => {
    const all = {
      netd,
      dockerd: 'unix:///x',
      hosts: [`unix://${at('other')}`],
      rules: { runtime: 'eru' },
      logger: silentLogger,
    };
    await expect(openBarrel({ ...all, ...options })).rejects.toThrow(message);
  });

  // Root may give it to any.
  if (process.geteuid?.() !== 0)
    it('a group that the socket may not be given to', async () => {
      const all = { netd, dockerd: 'unix:///x', rules: { runtime: 'eru' }, logger: silentLogger };
      const opening = openBarrel({ ...all, hosts: [`unix://${at('other')}`], group: 'root' });
      await expect(opening).rejects.toThrow('--group: "root" is not allowed; only root and members of that group');
    });
});
