import { EruError, seededRandom, silentLogger, systemClock } from '@eru/kit';
import { bareSpec, SimulatedMachine } from '@eru/engines';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import type { Store } from '@eru/store';

import { startCore, type Core } from './core.ts';
import { createWorkloads, type CreateRequest } from './operations/create.ts';
import { checkAcknowledged, checkObjects, checkStore, snapshot } from './invariants.ts';
import { addNode } from './nodes/nodes.ts';
import { addPod } from './nodes/pods.ts';
import { versioned, type NodeResourcesRecord } from './state/records.ts';

const MiB = 2 ** 20;
const scheduler = createScheduler({ kinds: builtinKinds() });

/** Cores of one cluster on simulated machines in real time. */
export interface Cluster {
  cores: Core[];
  machines: ReadonlyMap<string, SimulatedMachine>;
  close(): Promise<void>;
}

/** One core for each of the stores, which are clients of the same. `sim://NAME` is a machine; without `test` its node has to report. */
export async function startCluster(
  stores: readonly Store[],
  nodes: number,
  { ttlMs = 10_000, test = true }: { ttlMs?: number; test?: boolean } = {},
): Promise<Cluster> {
  const random = seededRandom(7);
  const names = Array.from({ length: nodes }, (_, index) => `n${String(index).padStart(3, '0')}`);
  const machines = new Map(
    names.map((name) => [
      name,
      new SimulatedMachine({ name, clock: systemClock, random, cpus: 8, memoryBytes: 2048 * MiB }),
    ]),
  );
  const all = new Map([...machines].map(([name, machine]) => [`sim://${name}`, machine.engine()]));
  const engines = {
    get: (endpoint: string) => {
      const engine = all.get(endpoint);
      if (engine === undefined) throw new EruError('not_found', `no machine at ${endpoint}`);
      return engine;
    },
  };
  const base = { scheduler, engines, clock: systemClock, random, logger: silentLogger, version: 'test', ttlMs };
  const cores = await Promise.all(stores.map((store, index) => startCore({ ...base, store, address: `c:${index}` })));
  const [first] = cores as [Core];
  const never = new AbortController().signal;
  await addPod(first.context, first.membership.current(), 'pod', '');
  for (const name of names)
    await addNode(
      first.context,
      first.membership.current(),
      engines,
      {
        name,
        pod: 'pod',
        endpoint: `sim://${name}`,
        ca: '',
        cert: '',
        key: '',
        labels: {},
        resources: { cpumem: { memory: String(1600 * MiB) } },
        test,
      },
      never,
    );
  for (const { context } of cores)
    await context.view.until(() => (context.view.fleet.size === nodes ? true : undefined), never);
  return { cores, machines, close: async () => void (await Promise.all(cores.map((core) => core.close()))) };
}

/** One instance of 128 MiB on whichever node. */
export async function createOne({ context, membership }: Core, app: string, candidates: string[]): Promise<string> {
  const request: CreateRequest = {
    app,
    entrypoint: 'web',
    pod: 'pod',
    strategy: 'AUTO',
    count: 1,
    nodesLimit: 0,
    candidates: () => candidates,
    resources: { cpumem: { 'memory-request': 128 * MiB, 'memory-limit': 128 * MiB } },
    template,
    env: [],
    labels: {},
    meta: '{}',
    hook: null,
    afterCreate: [],
    ignoreHook: false,
    ignorePull: true,
    files: new Map(),
  };
  let id = '';
  for await (const event of createWorkloads(context, membership.current(), request, new AbortController().signal)) {
    if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
    if (event.type !== 'done') continue;
    if (event.error !== undefined) throw event.error;
    ({ id } = event);
  }
  return id;
}

export interface Contest {
  acknowledged: string[];
  refusals: string[];
  /** How many fit. */
  room: number;
  /** What broke an invariant, at any revision or at the end. */
  broken: string[];
}

/** So many single creates at once, spread over the cores, on nodes that have no room for all of them. */
export async function contest({ cores, machines }: Cluster, creates: number): Promise<Contest> {
  const [first] = cores as [Core];
  const { store, view, clock } = first.context;
  const broken = new Set<string>();
  const stop = new AbortController();
  const watching = (async () => {
    for await (const { events } of store.watch({ prefix: 'node-resources/', signal: stop.signal }))
      for (const event of events)
        if (event.type === 'put')
          for (const line of scheduler.fits(versioned<NodeResourcesRecord>(event.kv).value))
            broken.add(`${event.kv.key} at ${event.kv.modRevision}: ${line}`);
  })();
  const candidates = view.nodes.names();
  const settled = await Promise.allSettled(
    Array.from({ length: creates }, (_, index) =>
      createOne(cores[index % cores.length] as Core, `app${index % 7}`, candidates),
    ),
  );
  const acknowledged = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const refusals = settled.flatMap((one) => (one.status === 'rejected' ? [EruError.from(one.reason).message] : []));
  while ((await store.range({ prefix: 'operations/', limit: 1 })).kvs.length > 0) await clock.sleep(50);
  stop.abort();
  await watching;
  const shot = await snapshot(store);
  const objects = (await Promise.all([...machines.values()].map((machine) => machine.engine().list()))).flat();
  const room = [...shot.kvs.values()]
    .filter(({ key }) => key.startsWith('node-resources/'))
    .map((kv) => versioned<NodeResourcesRecord>(kv).value.capacity['cpumem'] as { memory: number })
    .reduce((sum, { memory }) => sum + Math.floor(memory / (128 * MiB)), 0);
  return {
    acknowledged,
    refusals,
    room,
    broken: [
      ...broken,
      ...checkStore(shot, scheduler, { atRest: true }),
      ...checkObjects(shot, objects, first.cluster),
      ...checkAcknowledged(shot, acknowledged),
    ],
  };
}

const { name: _name, labels: _labels, env: _env, engineParams: _params, ...template } = bareSpec('', ['server']);
/** What a workload needs to be said of it at least. */
export { template };
