import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createWorkloads, startCore, type CreateRequest } from '@eru/core';
import { bareSpec, SimulatedMachine, type Engine } from '@eru/engines';
import { EruError, seededRandom, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openEmbeddedStore, openEtcdStore, type Store } from '@eru/store';
import { EtcdProcess } from '@eru/store/etcd-process';

import type { Bench, Row } from './table.ts';

const nodes = 50;
const deploys = 640;

/** Deploys of one instance on simulated machines without latency: what core and its store cost. */
export const deployBench: Bench = {
  name: 'deploy',
  async run() {
    const rows: Row[] = [];
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    try {
      const embedded = await openEmbeddedStore({ folder: path.join(folder, 'store') });
      rows.push(...(await measure('embedded', embedded)));
      await embedded.close();
      if (spawnSync('etcd', ['--version']).status === 0) rows.push(...(await onEtcd()));
      else process.stderr.write('no etcd here: apt-get install -y etcd-server\n');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return rows;
  },
};

async function onEtcd(): Promise<Row[]> {
  const etcd = await EtcdProcess.start();
  try {
    const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
    const rows = await measure('etcd', store);
    await store.close();
    return rows;
  } finally {
    await etcd.remove();
  }
}

async function measure(backend: string, inner: Store): Promise<Row[]> {
  const counts = { txn: 0, operations: 0, reads: 0 };
  const store = counting(inner, counts);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const engines = new Map<string, Engine>();
  const names = Array.from({ length: nodes }, (_, index) => `n${index}`);
  const put = async (key: string, value: object): Promise<void> => {
    await inner.txn({
      then: [{ op: 'put', key, value: new TextEncoder().encode(JSON.stringify({ v: 1, ...value })) }],
    });
  };
  for (const [index, name] of names.entries()) {
    const machine = new SimulatedMachine({
      name,
      clock: systemClock,
      random: seededRandom(index),
      cpus: 64,
      memoryBytes: 2 ** 40,
      latency: { minMs: 0, maxMs: 0 },
    });
    engines.set(`mock://${name}`, machine.engine());
    await put(`nodes/${name}`, {
      name,
      pod: 'p',
      endpoint: `mock://${name}`,
      engine: 'simulated',
      labels: {},
      test: true,
      ca: '',
      cert: '',
      key: '',
    });
    await put(`node-resources/${name}`, {
      ...scheduler.addNode(undefined, { cpus: 64, memory: 2 ** 40, storage: 0, resources: {} }),
      cordon: false,
    });
  }
  const get = (endpoint: string): Engine => {
    const engine = engines.get(endpoint);
    if (engine === undefined) throw new EruError('not_found', endpoint);
    return engine;
  };
  const core = await startCore({
    store,
    scheduler,
    engines: { get },
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    address: 'bench',
    version: 'bench',
  });
  const rows: Row[] = [];
  for (const clients of [1, 32]) {
    Object.assign(counts, { txn: 0, operations: 0, reads: 0 });
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        for (let round = 0; round < deploys / clients / (clients === 1 ? 4 : 1); round++) {
          for await (const event of createWorkloads(
            core.context,
            core.membership.current(),
            request(`app${client}`, names),
            new AbortController().signal,
          )) {
            if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
            if (event.type === 'done' && event.error !== undefined) throw event.error;
          }
        }
      }),
    );
    const done = clients === 1 ? deploys / 4 : deploys;
    const seconds = (performance.now() - begun) / 1000;
    rows.push({ bench: 'deploy', what: `${backend}, ${clients} clients`, value: done / seconds, unit: 'deploys/s' });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, transactions per deploy`,
      value: counts.txn / done,
      unit: '',
    });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, writes per deploy`,
      value: counts.operations / done,
      unit: '',
    });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, reads per deploy`,
      value: counts.reads / done,
      unit: '',
    });
  }
  await core.close();
  return rows;
}

const { name: _name, labels: _labels, env: _env, engineParams: _params, ...template } = bareSpec('', ['server']);

function request(app: string, names: readonly string[]): CreateRequest {
  const memory = 64 * 2 ** 20;
  return {
    app,
    entrypoint: 'web',
    pod: 'p',
    strategy: 'AUTO',
    count: 1,
    nodesLimit: 0,
    candidates: () => names,
    resources: { cpumem: { 'cpu-request': 0.1, 'cpu-limit': 0.1, 'memory-request': memory, 'memory-limit': memory } },
    template,
    env: [],
    labels: {},
    meta: '{}',
    hook: null,
    afterCreate: [],
    ignoreHook: false,
    ignorePull: false,
    files: new Map(),
  };
}

function counting(store: Store, counts: { txn: number; operations: number; reads: number }): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (name === 'txn') {
          counts.txn += 1;
          counts.operations += (args[0] as { then: unknown[] }).then.length;
        } else if (name === 'get' || name === 'range') counts.reads += 1;
        return Reflect.apply(value, target, args);
      };
    },
  });
}
