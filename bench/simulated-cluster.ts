import type { CreateRequest } from '@eru/core';
import { bareSpec, SimulatedMachine, type Engine } from '@eru/engines';
import { EruError, seededRandom, systemClock } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import type { Store, TxnOp } from '@eru/store';

const machine = { cpus: 64, memoryBytes: 2 ** 40 };
/** Operations of one transaction while nodes are written. */
const batch = 100;

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${String(index).padStart(4, '0')}`);
}

/** Writes nodes of the pod `p` as if they had been added. */
export async function writeNodes(store: Store, names: readonly string[]): Promise<void> {
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const resources = {
    ...scheduler.addNode(undefined, { cpus: machine.cpus, memory: machine.memoryBytes, storage: 0, resources: {} }),
    cordon: false,
  };
  const ops = names.flatMap((name) => {
    const definition = { name, pod: 'p', endpoint: `mock://${name}`, engine: 'simulated', labels: {}, test: true };
    const certificates = { ca: '', cert: '', key: '' };
    return [put(`nodes/${name}`, { ...definition, ...certificates }), put(`node-resources/${name}`, resources)];
  });
  for (let at = 0; at < ops.length; at += batch) await store.txn({ then: ops.slice(at, at + batch) });
}

function put(key: string, value: object): TxnOp {
  return { op: 'put', key, value: new TextEncoder().encode(JSON.stringify({ v: 1, ...value })) };
}

/** The machines of these nodes, in this process and without latency. Processes with different seeds make no object of the same id. */
export function simulatedEngines(names: readonly string[], seed = 0): { get(endpoint: string): Engine } {
  const engines = new Map(
    names.map((name, index): [string, Engine] => {
      const latency = { minMs: 0, maxMs: 0 };
      const random = seededRandom(seed * names.length + index);
      return [
        `mock://${name}`,
        new SimulatedMachine({ name, clock: systemClock, random, ...machine, latency }).engine(),
      ];
    }),
  );
  return {
    get: (endpoint) => {
      const engine = engines.get(endpoint);
      if (engine === undefined) throw new EruError('not_found', endpoint);
      return engine;
    },
  };
}

/** What a store was asked to do. */
export interface StoreCounts {
  txn: number;
  /** Transactions whose comparison failed: somebody else was faster. */
  lost: number;
  /** Puts and deletions of the others. */
  operations: number;
  reads: number;
}

export function noCounts(): StoreCounts {
  return { txn: 0, lost: 0, operations: 0, reads: 0 };
}

export function counting(store: Store, counts: StoreCounts): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(value, target, args);
        if (name === 'get' || name === 'range') counts.reads += 1;
        if (name === 'txn')
          void count(args[0] as { then: unknown[] }, answer as Promise<{ succeeded: boolean }>, counts);
        return answer;
      };
    },
  });
}

async function count({ then }: { then: unknown[] }, answer: Promise<{ succeeded: boolean }>, counts: StoreCounts) {
  counts.txn += 1;
  const succeeded = await answer.then(
    (one) => one.succeeded,
    () => false,
  );
  if (succeeded) counts.operations += then.length;
  else counts.lost += 1;
}

const { name: _name, labels: _labels, env: _env, engineParams: _params, ...template } = bareSpec('', ['server']);

/** One instance on whichever of these nodes. */
export function request(app: string, names: readonly string[]): CreateRequest {
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
