import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { bareSpec, type Engine, type WorkloadSpec, type WorkloadState } from '@eru/engines';
import { EruError } from '@eru/kit';
import { declaredFolder, runtimeScript } from '@eru/network';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { withNetworks } from './container-networks.ts';
import { FakeDaemon } from './fake-daemon.suite.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-runtimes-'));
  for (const [name, state] of [
    ['ours', '/var/lib/eru/network'],
    ['theirs', "/srv/other's/network"],
  ] as const) {
    const places = { calls: '/c', declared: declaredFolder(state), namespaces: '/n', dockerContainers: '/d' };
    const settings = { script: '/s', all: false, trustImages: false };
    await writeFile(path.join(folder, name), runtimeScript({ runtime: 'runc', ...places, settings }));
  }
  await writeFile(path.join(folder, 'kata'), 'no script of ours');
});
afterAll(() => rm(folder, { recursive: true }));

/** A dockerd, as far as networks go: what it starts behind our runtime gets what the daemon was told. */
class FakeDocker {
  readonly made = new Map<string, { spec: WorkloadSpec; state: WorkloadState['state'] }>();
  /** Which of the scripts is runtime `eru`. */
  runtime: string | undefined = 'ours';
  readonly #daemon: FakeDaemon;

  constructor(daemon: FakeDaemon) {
    this.#daemon = daemon;
  }

  get engine(): Engine {
    const done = async (): Promise<void> => {};
    return {
      create: async (spec: WorkloadSpec) => {
        this.made.set(`id-${spec.name}`, { spec, state: 'created' });
        return this.#state(`id-${spec.name}`);
      },
      start: async (id: string) => {
        this.#of(id).state = 'running';
        const intent = this.#daemon.intents.get(id);
        if (intent !== undefined) await this.#daemon.service.attach({ id, kind: 'container', ...intent });
      },
      stop: async (id: string) => {
        this.#of(id).state = 'exited';
      },
      remove: async (id: string) => void this.made.delete(id),
      inspect: async (id: string) => this.#state(this.made.has(id) ? id : `id-${id}`),
      list: async ({ labels = {} }: { labels?: Record<string, string> } = {}) =>
        [...this.made.keys()]
          .map((id) => this.#state(id))
          .filter((one) => Object.entries(labels).every(([name, value]) => one.labels[name] === value)),
      async *events({ signal }: { signal: AbortSignal }) {
        yield { type: 'ready', cursor: '1' };
        await once(signal, 'abort');
      },
      networkConnect: async () => ['docker'],
      networkDisconnect: done,
      close: done,
    } as unknown as Engine;
  }

  async get(): Promise<unknown> {
    const ours = this.runtime === undefined ? {} : { eru: { path: path.join(folder, this.runtime) } };
    return { Runtimes: { runc: { path: 'runc' }, ...ours } };
  }

  #of(id: string) {
    const one = this.made.get(id);
    if (one === undefined) throw new EruError('not_found', `no container ${id}`);
    return one;
  }

  #state(id: string): WorkloadState {
    const { spec, state } = this.#of(id);
    return { id, name: spec.name, labels: spec.labels, state, ports: {}, networks: {} } as unknown as WorkloadState;
  }
}

function node() {
  const daemon = new FakeDaemon();
  const docker = new FakeDocker(daemon);
  const engine = withNetworks(docker.engine, daemon.service, docker);
  const spec = (name: string, more: Partial<WorkloadSpec>): WorkloadSpec => ({
    ...bareSpec(name, ['true']),
    image: 'image',
    ...more,
  });
  return { daemon, docker, engine, spec };
}

const web = { networks: { web: '' } };

test('a container keeps its address over a stop, shows it while it runs, and gives it back when it is removed', async () => {
  const { daemon, docker, engine, spec } = node();
  const { id } = await engine.create(spec('shop', { networks: { web: '', db: '10.0.0.9' }, publish: ['80'] }));
  expect(docker.made.get(id)?.spec).toMatchObject({ networks: { none: '' } });
  expect(JSON.parse(Buffer.from(docker.made.get(id)!.spec.rawArgs).toString())).toEqual({ runtime: 'eru' });
  for (let round = 0; round < 2; round++) {
    await engine.start(id);
    expect((await engine.inspect(id)).networks).toEqual({ web: '10.0.0.2', db: '10.0.0.9' });
    await engine.stop(id, {});
    await daemon.service.detach({ id });
    expect((await engine.inspect(id)).networks).toEqual({});
  }
  expect(daemon.held.map(({ owner, policy }) => `${owner} ${policy}`)).toEqual(['shop fixed', 'shop fixed']);
  await engine.remove(id);
  expect([daemon.held, daemon.intents.size, docker.made.size]).toEqual([[], 0, 0]);
});

test.each([true, false])(
  'a replace hands the address over (overlap: %s), and readers of events hear of it',
  async (overlap) => {
    const { daemon, engine, spec } = node();
    const old = await engine.create(spec('old', web));
    await engine.start(old.id);
    const next = await engine.create(spec('new', { ...web, succeeds: 'old' }));
    if (!overlap) await engine.stop(old.id, {}); // Nobody has told the network daemon.
    await engine.start(next.id);
    expect((await engine.inspect(next.id)).networks).toEqual({ web: overlap ? '10.0.0.3' : '10.0.0.2' });
    const events = engine.events()[Symbol.asyncIterator]();
    await events.next();
    await engine.remove(old.id, { force: true });
    expect(await events.next()).toMatchObject({ value: { type: 'updated', cursor: '1', id: next.id, name: 'new' } });
    await events.return?.();
    expect((await engine.inspect(next.id)).networks).toEqual({ web: '10.0.0.2' });
    expect(daemon.held).toMatchObject([{ owner: 'new', ip: '10.0.0.2', policy: 'fixed' }]);
  },
);

test('one that is removed before it has taken over gives back', async () => {
  const { daemon, engine, spec } = node();
  const old = await engine.create(spec('old', web));
  await engine.start(old.id);
  await engine.stop(old.id, {});
  const next = await engine.create(spec('new', { ...web, succeeds: 'old' }));
  await engine.start(next.id);
  await engine.remove(next.id, { force: true });
  expect(daemon.held).toMatchObject([{ owner: 'old', ip: '10.0.0.2' }]);
});

test('networks are joined and left, and the last one is not', async () => {
  const { daemon, engine, spec } = node();
  const { id } = await engine.create(spec('shop', web));
  const wanted = { ipv4: '10.0.0.7', ipv6: 'fd00::7' };
  expect(await engine.networkConnect(id, 'db', wanted)).toEqual(['10.0.0.7', 'fd00::7']);
  await expect(engine.networkConnect(id, 'db')).rejects.toMatchObject({ code: 'exists' });
  await engine.start(id);
  expect((await engine.inspect(id)).networks).toEqual({ web: '10.0.0.2', db: '10.0.0.7,fd00::7' });
  await engine.networkDisconnect(id, 'web');
  expect(daemon.held).toMatchObject([{ ip: '10.0.0.7,fd00::7' }]);
  await expect(engine.networkDisconnect(id, 'db')).rejects.toMatchObject({ code: 'precondition' });
  await expect(engine.networkConnect(id, 'dockers')).rejects.toMatchObject({
    message: expect.stringMatching(/on networks of Eru, and dockers is one of Docker/),
  });
});

const refusals = [
  ['a dockerd without the runtime', web, undefined, /no runtime eru, .*: eru net install-docker/],
  [
    'the runtime of another daemon',
    web,
    'theirs',
    /which asks another network daemon, that of \/srv\/other's\/network; so that it asks the one of \/var\/lib\/eru\/network, run on the node: eru net install-docker/,
  ],
  ['another program as the runtime', web, 'kata', /\/kata", which is no script of eru net install-docker/],
  [
    'a runtime that is not there',
    web,
    'gone',
    /\/gone", which is no script of eru net install-docker that can be read/,
  ],
  [
    'networks of both',
    { networks: { web: '', dockers: '' } },
    'ours',
    /web is a network of Eru's and dockers one of Docker's/,
  ],
  [
    'another runtime',
    { ...web, rawArgs: Buffer.from('{"runtime":"kata"}') },
    'ours',
    /"kata" gives no networks of Eru/,
  ],
  ['no address', { networks: { web: '10.0.0' } }, 'ours', /write an IP address/],
  ['an address of somebody else', { networks: { web: '10.0.0.2' } }, 'ours', /10\.0\.0\.2 is somebody's/],
] as const;

test.each(refusals)('%s is refused, and nothing is left', async (_what, asked, runtime, message) => {
  const { daemon, docker, engine, spec } = node();
  await engine.create(spec('other', web));
  docker.runtime = runtime;
  await expect(engine.create(spec('shop', asked))).rejects.toMatchObject({ message: expect.stringMatching(message) });
  expect([daemon.held.length, daemon.intents.size, docker.made.size]).toEqual([1, 1, 1]);
});

test('a runtime that has become another daemon’s starts nothing of ours, and the rest', async () => {
  const { docker, engine, spec } = node();
  const { id } = await engine.create(spec('shop', web));
  const other = await engine.create(spec('other', { networks: { bridge: '' } }));
  docker.runtime = 'theirs';
  await engine.start(other.id);
  await expect(engine.start(id)).rejects.toMatchObject({
    code: 'unsupported',
    message: expect.stringContaining('asks another network daemon'),
  });
  expect(docker.made.get(id)?.state).toBe('created');
  docker.runtime = 'ours';
  await engine.start(id);
  expect((await engine.inspect(id)).networks).toEqual({ web: '10.0.0.2' });
});

test('networks of Docker are Docker’s business', async () => {
  const { daemon, docker, engine, spec } = node();
  for (const networks of [{}, { bridge: '' }, { host: '' }, { dockers: '10.1.0.2' }]) {
    const { id } = await engine.create(spec('shop', { networks }));
    expect(docker.made.get(id)?.spec.networks).toEqual(networks);
    expect(await engine.networkConnect(id, 'more')).toEqual(['docker']);
  }
  expect(daemon.intents.size).toBe(0);
});
