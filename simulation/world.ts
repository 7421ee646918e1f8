import { EruError, seededRandom, silentLogger, VirtualClock, type Random } from '@eru/kit';
import { bareSpec, SimulatedMachine } from '@eru/engines';
import {
  bookedByNode,
  checkAcknowledged,
  checkObjects,
  checkStore,
  createWorkloads,
  snapshot,
  startCore,
  type Core,
  type CreateEvent,
  type CreateRequest,
  type Snapshot,
} from '@eru/core';
import { builtinKinds, createScheduler, externalKind, type Scheduler } from '@eru/scheduler';
import { openMemoryStore, type Compare, type Store } from '@eru/store';

type TxnRequest = Parameters<Store['txn']>[0];

import { FakeKinds, sum } from './fake-kinds.ts';
import { Mortal } from './mortal.ts';

/** A core in a process of its own, that can be killed. */
export interface LivingCore {
  core: Core;
  mortal: Mortal;
}

export interface WorldOptions {
  seed: number;
  nodes?: number;
  /** With `FakeKinds`, of which every request then asks one. */
  external?: boolean;
  /** False: the store forgets to compare the writer's tenure, to see that this is noticed. */
  fence?: boolean;
  /** Told of every revision that a transaction has made. */
  look?: (snapshot: Snapshot) => void;
}

const pod = 'pod';

/** A whole cluster in one process on a virtual clock: one store, machines that outlive everything, cores that do not. */
export class World {
  readonly clock = new VirtualClock();
  readonly random: Random;
  readonly machines = new Map<string, SimulatedMachine>();
  readonly store: Store;
  readonly scheduler: Scheduler;
  /** Undefined without external kinds. */
  readonly kinds: FakeKinds | undefined;
  readonly #nodes: string[];
  /** All that were started, in that order. */
  readonly cores: LivingCore[] = [];

  private constructor(store: Store, random: Random, nodes: string[], kinds: FakeKinds | undefined) {
    this.store = store;
    this.kinds = kinds;
    const external = (kinds?.names ?? []).map((name) => externalKind(name));
    this.scheduler = createScheduler({ kinds: [...builtinKinds(), ...external] });
    this.random = random;
    this.#nodes = nodes;
  }

  /** Told of every transaction that succeeded. */
  onTransaction: (request: TxnRequest) => void = () => {};

  /** What broke an invariant at any revision so far. */
  readonly violations = new Set<string>();
  /** Nodes whose external kinds a sleeper has told something when it woke up, until they are settled. */
  readonly #late = new Set<string>();

  static async create({ seed, nodes = 3, external = false, fence = true, look }: WorldOptions): Promise<World> {
    const random = seededRandom(seed);
    const names = Array.from({ length: nodes }, (_, index) => `n${index}`);
    const clock = new VirtualClock();
    const world = new World(
      witnessed(
        watched(await openMemoryStore({ clock, random }), (request) => {
          world.onTransaction(request);
          return world.#checkNow(look);
        }),
        fence,
        (sentence) => world.violations.add(sentence),
      ),
      random,
      names,
      external ? new FakeKinds(clock) : undefined,
    );
    Object.assign(world, { clock });
    for (const name of names) {
      world.machines.set(
        name,
        new SimulatedMachine({
          name,
          clock,
          random,
          cpus: 8,
          memoryBytes: 8 * 2 ** 30,
          latency: { minMs: 1, maxMs: 20 },
        }),
      );
    }
    await world.#seedStore();
    return world;
  }

  /** In small worlds: in a large one it would take longer than the rest. */
  async #checkNow(look?: (shot: Snapshot) => void): Promise<void> {
    if (this.#nodes.length > 10) return;
    const shot = await snapshot(this.store);
    look?.(shot);
    const broken = [...checkStore(shot, this.scheduler, { atRest: false }), ...this.#checkKinds(shot, this.#late)];
    for (const sentence of broken) this.violations.add(sentence);
  }

  /**
   * What nobody claims has booked outside exactly what is held, and no more than there is; except where a call came late, whose core
   * was replaced meanwhile: no fence stops it, and the core settles the node when it knows.
   */
  #checkKinds(shot: Snapshot, late: ReadonlySet<string>): string[] {
    const booked = bookedByNode(shot);
    return [...(this.kinds?.nodes ?? [])].flatMap(([node, { capacity, used }]) => {
      if (shot.kvs.has(`external/${node}`) || late.has(node)) return [];
      const held = sum(booked.get(node) ?? []);
      const known = shot.kvs.has(`nodes/${node}`) ? [] : [`${node}: is known outside and not in the store`];
      const exact = used === held ? [] : [`${node}: ${used} seats are booked, ${held} are held`];
      return [...known, ...exact, ...(used > capacity ? [`${node}: ${used} of ${capacity} seats are booked`] : [])];
    });
  }

  /** Starts a core; resolves when it has joined. */
  async startCore(): Promise<LivingCore> {
    const mortal = new Mortal();
    mortal.onEffect = (call, [node], late) => {
      if (call === 'kinds.book' && late) this.#late.add(String(node));
      if (call === 'kinds.settle') this.#late.delete(String(node));
    };
    const engines = new Map(
      [...this.machines].map(([name, machine]) => [`mock://${name}`, mortal.engine(machine.engine())]),
    );
    const core = await this.clock.run(
      startCore({
        store: mortal.store(this.store),
        scheduler: this.scheduler,
        engines: {
          get: (endpoint) => {
            const engine = engines.get(endpoint);
            if (engine === undefined) throw new EruError('not_found', `no machine at ${endpoint}`);
            return engine;
          },
        },
        ...(this.kinds !== undefined && { externalKinds: mortal.kinds(this.kinds) }),
        clock: mortal.clock(this.clock),
        random: this.random,
        logger: silentLogger,
        address: '127.0.0.1:1',
        version: 'simulated',
        reconciler: { intervalMs: 10_000, graceMs: 30_000 },
      }),
    );
    await this.clock.run(core.context.external?.adopted ?? Promise.resolve());
    const living = { core, mortal };
    this.cores.push(living);
    return living;
  }

  /** From now on a node is available only while it reports. */
  async wantHeartbeats(node: string): Promise<void> {
    const key = `nodes/${node}`;
    const kv = await this.store.get(key);
    const record = JSON.parse(new TextDecoder().decode(kv?.value)) as object;
    const value = new TextEncoder().encode(JSON.stringify({ ...record, test: false }));
    await this.store.txn({ then: [{ op: 'put', key, value }] });
  }

  /** What the embedded store does when it is opened again: leases of dead cores end at once. */
  async reopenStore(): Promise<void> {
    const { kvs } = await this.store.range({ prefix: 'cores/' });
    for (const { lease } of kvs) if (lease !== undefined) await this.store.revokeLease(lease);
  }

  deploy(
    { core }: LivingCore,
    count: number,
    { signal, ...options }: Partial<CreateRequest> & { memory?: number; signal?: AbortSignal } = {},
  ): AsyncIterable<CreateEvent> {
    return createWorkloads(
      core.context,
      core.membership.current(),
      this.request(count, options),
      signal ?? new AbortController().signal,
    );
  }

  request(
    count: number,
    { memory = 256 * 2 ** 20, ...more }: Partial<CreateRequest> & { memory?: number } = {},
  ): CreateRequest {
    return {
      app: 'app',
      entrypoint: 'web',
      pod,
      strategy: 'AUTO',
      count,
      nodesLimit: 0,
      candidates: () => this.#nodes,
      resources: {
        cpumem: { 'cpu-request': 0.5, 'cpu-limit': 1, 'memory-request': memory, 'memory-limit': memory },
        ...(this.kinds !== undefined && { seats: { n: 1 } }),
      },
      template,
      env: [],
      labels: {},
      meta: '{}',
      hook: { afterStart: ['warm up'], beforeStop: ['drain'], force: false },
      afterCreate: [],
      ignoreHook: false,
      ignorePull: false,
      files: new Map(),
      ...more,
    };
  }

  async nodeNames(): Promise<string[]> {
    const { kvs } = await this.store.range({ prefix: 'nodes/', keysOnly: true });
    return kvs.map(({ key }) => key.slice('nodes/'.length));
  }

  /** Lets time pass until nothing is in flight and every orphan had its two rounds; throws when that never comes. */
  async settle(): Promise<void> {
    for (let minute = 0; minute < 30; minute++) {
      await this.clock.advance(60_000);
      const { kvs } = await this.store.range({ prefix: 'operations/', limit: 1, keysOnly: true });
      if (kvs.length === 0 && (await this.broken([])).length === 0) return;
    }
  }

  /** Every invariant that is broken at rest, as sentences. */
  async broken(acknowledged: Iterable<string>): Promise<string[]> {
    const shot = await snapshot(this.store);
    const objects = (
      await Promise.all([...this.machines.values()].map((machine) => this.clock.run(machine.engine().list())))
    ).flat();
    const cluster = (JSON.parse(new TextDecoder().decode(shot.kvs.get('cluster')?.value)) as { id: string }).id;
    return [
      ...checkStore(shot, this.scheduler, { atRest: true }),
      ...this.#checkKinds(shot, new Set()),
      ...checkObjects(shot, objects, cluster),
      ...checkAcknowledged(shot, acknowledged),
    ];
  }

  async #seedStore(): Promise<void> {
    const put = async (key: string, value: object): Promise<void> => {
      await this.store.txn({
        then: [{ op: 'put', key, value: new TextEncoder().encode(JSON.stringify({ v: 1, ...value })) }],
      });
    };
    await put(`pods/${pod}`, { name: pod, desc: '' });
    for (const name of this.#nodes) {
      const info = { cpus: 8, memory: 8 * 2 ** 30, storage: 0, resources: {} };
      await put(`nodes/${name}`, {
        name,
        pod,
        endpoint: `mock://${name}`,
        engine: 'simulated',
        labels: {},
        test: true,
        ca: '',
        cert: '',
        key: '',
      });
      await put(`node-resources/${name}`, { ...this.scheduler.addNode(undefined, info), cordon: false });
    }
  }
}

/** A store that tells (invariant 4) when a core writes that has lost its lease; without `fence` it lets that happen. */
function witnessed(store: Store, fence: boolean, tell: (sentence: string) => void): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (name !== 'txn') return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      return async (request: Parameters<Store['txn']>[0]): ReturnType<Store['txn']> => {
        const isFence = ({ key, target, op, value }: Compare): boolean =>
          key.startsWith('cores/') && target === 'create' && op === '=' && value !== 0;
        const fences = request.compare?.filter(isFence) ?? [];
        const result = await target.txn(
          fence ? request : { ...request, compare: request.compare?.filter((compare) => !isFence(compare)) ?? [] },
        );
        for (const { key, value: epoch } of result.succeeded ? fences : []) {
          if ((await target.get(key))?.createRevision !== epoch) tell(`4: a core wrote without its lease: ${key}`);
        }
        return result;
      };
    },
  });
}

/** A store whose every write is followed by a look at everything. */
function watched(store: Store, look: (request: TxnRequest) => Promise<void>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (name === 'txn')
        return async (...args: Parameters<Store['txn']>) => {
          const result = await target.txn(...args);
          if (result.succeeded) await look(...args);
          return result;
        };
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

const {
  name: _name,
  labels: _labels,
  env: _env,
  engineParams: _params,
  ...template
} = bareSpec('', ['server'], {
  networks: { bridge: '' },
});
