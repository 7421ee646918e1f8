import { bareSpec } from '@eru/engines';
import { EruError } from '@eru/kit';
import type { NetworkService } from '@eru/network';
import { expect, test } from 'vitest';

import { ownerOf, wishesOf, type InterfaceWish } from './network-wishes.ts';
import { ProcessNetworks, type Neighbour } from './process-networks.ts';
import type { WorkloadRecord } from '../workload/workload-folder.ts';

interface Held {
  owner: string;
  ifname: string;
  network: string;
  ip: string;
  policy: string;
  bound: boolean;
}

type Wished = { network: string; ifname: string; ips?: string[] };
type Asked = { owner: string; network: Wished; policy: string };

/** A network daemon with one pool, as far as processes ask it; it dies before or after an effect when told so. */
class FakeDaemon {
  held: Held[] = [];
  readonly sandboxes = new Map<
    string,
    { owner: string; interfaces: { ifname: string; network: string; ip: string }[] }
  >();
  /** Effects until one fails. */
  left = Number.POSITIVE_INFINITY;
  after = false;

  get service(): NetworkService {
    const effect =
      <Request, T>(work: (request: Request) => T) =>
      async (request: Request): Promise<T> => {
        const dies = this.left-- === 0;
        if (dies && !this.after) throw new EruError('unavailable', 'it died before');
        const answer = work(request);
        if (dies) throw new EruError('unavailable', 'it died after');
        return answer;
      };
    return {
      networks: async () => ['web', 'db'].map((name) => ({ definition: { name, pools: [name] }, cidrs: [] })),
      reservations: async ({ owner }: { owner: string }) =>
        this.held.filter((one) => one.owner === owner).map((one) => ({ ...one, addresses: [{ ip: one.ip }] })),
      describe: async ({ id }: { id: string }) => this.#shown(id),
      reserve: effect(({ owner, network: { network, ifname, ips = [] }, policy }: Asked) => {
        const one = this.#reserve({ owner, ifname, network, policy }, ips[0]);
        return { addresses: [{ ip: one.ip }] };
      }),
      release: effect(({ owner, ifname }: { owner: string; ifname: string }) => {
        this.held = this.held.filter((one) => one.owner !== owner || one.ifname !== ifname);
        return [];
      }),
      transfer: effect(
        ({ from, to, ifname, lost = false }: { from: string; to: string; ifname: string; lost?: boolean }) => {
          const one = this.#find(from, ifname);
          if (one === undefined || (one.bound && !lost))
            throw new EruError('precondition', `${from} cannot give ${ifname}`);
          if (this.#find(to, ifname) !== undefined) throw new EruError('exists', `${to} has ${ifname}`);
          Object.assign(one, { owner: to, bound: false });
          return [];
        },
      ),
      attach: effect(({ id, owner, networks }: { id: string; owner: string; networks: Wished[] }) => {
        this.sandboxes.set(id, { owner, interfaces: [] });
        for (const wish of networks) this.#plug(id, wish, 'ephemeral');
        return this.#shown(id);
      }),
      connect: effect(({ id, network }: { id: string; network: Wished }) => this.#plug(id, network, 'fixed')),
      disconnect: effect(({ id, name }: { id: string; name: string }) =>
        this.#unplug(id, (one) => one.ifname === name),
      ),
      detach: effect(({ id }: { id: string }) => {
        this.#unplug(id, () => true);
        this.sandboxes.delete(id);
      }),
    } as unknown as NetworkService;
  }

  #reserve(of: Pick<Held, 'owner' | 'ifname' | 'network' | 'policy'>, wanted = ''): Held {
    const known = this.#find(of.owner, of.ifname);
    if (known !== undefined) return known;
    let ip = wanted;
    for (let host = 2; ip === ''; host++)
      if (!this.held.some((one) => one.ip === `10.0.0.${host}`)) ip = `10.0.0.${host}`;
    if (this.held.some((one) => one.ip === ip)) throw new EruError('exists', `${ip} is somebody's`);
    const one = { ...of, ip, bound: false };
    this.held.push(one);
    return one;
  }

  #plug(id: string, { network, ifname }: { network: string; ifname: string }, policy: string): void {
    const sandbox = this.sandboxes.get(id)!;
    const one = this.#reserve({ owner: sandbox.owner, ifname, network, policy });
    one.bound = true;
    sandbox.interfaces.push({ ifname, network, ip: one.ip });
  }

  #unplug(id: string, which: (one: { ifname: string }) => boolean): void {
    const sandbox = this.sandboxes.get(id);
    for (const { ifname } of sandbox?.interfaces.filter(which) ?? []) {
      const one = this.#find(sandbox!.owner, ifname);
      if (one?.policy === 'fixed') one.bound = false;
      else this.held = this.held.filter((other) => other !== one);
    }
    if (sandbox !== undefined) sandbox.interfaces = sandbox.interfaces.filter((one) => !which(one));
  }

  #shown(id: string): object {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw new EruError('not_found', `${id} is not attached`);
    const interfaces = sandbox.interfaces.map((one) => ({ ...one, addresses: [{ address: `${one.ip}/24` }] }));
    return { netns: `/run/${id}`, interfaces };
  }

  #find(owner: string, ifname: string): Held | undefined {
    return this.held.find((one) => one.owner === owner && one.ifname === ifname);
  }
}

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
const replaces: Record<string, (networks: ProcessNetworks) => (() => Promise<unknown>)[]> = {
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
    const networks = new ProcessNetworks(daemon.service);
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
  const networks = new ProcessNetworks(daemon.service);
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

test('an address of somebody else is busy', async () => {
  const daemon = new FakeDaemon();
  const networks = new ProcessNetworks(daemon.service);
  const [old] = pair();
  await networks.reserve(old.record, old.wishes);
  const other = workload('other', { web: '10.0.0.2' });
  await expect(networks.reserve(other.record, other.wishes)).rejects.toMatchObject({
    code: 'busy',
    message: "networks: 10.0.0.2 is somebody's",
  });
});
