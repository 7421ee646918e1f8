import { createWorkloads, reallocWorkload, removeWorkload, replaceWorkload, startCore, type Core } from '@eru/core';
import { EruError, limitConcurrency, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openEtcdStore } from '@eru/store';
import { monitorEventLoopDelay } from 'node:perf_hooks';

import { counting, nodeNames, noCounts, request, simulatedEngines, type StoreCounts } from './simulated-cluster.ts';

/** What a core of the bench is, as JSON in its argument. */
export interface CoreJob {
  index: number;
  endpoint: string;
  nodes: number;
  /** Operations of each kind. */
  operations: number;
  /** Of them at the same time. */
  clients: number;
}

export const phases = ['create', 'realloc', 'replace', 'remove'] as const;
export type Phase = (typeof phases)[number];

export interface PhaseFigures extends StoreCounts {
  seconds: number;
  /** Longest the event loop was held, and the 99th percentile, in milliseconds; waiting for a processor counts, too. */
  loopMaxMs: number;
  loop99Ms: number;
}

const MiB = 2 ** 20;
/** Another core's instances live in its own machines: nobody compares here. */
const never = 3_600_000;

/** A core of its own process, which runs the phases that its parent names and tells what they cost. */
async function serve({ index, endpoint, nodes, operations, clients }: CoreJob): Promise<void> {
  const counts = noCounts();
  const names = nodeNames(nodes);
  const inner = await openEtcdStore({ endpoints: [endpoint] });
  const core = await startCore({
    store: counting(inner, counts),
    scheduler: createScheduler({ kinds: builtinKinds() }),
    engines: simulatedEngines(names, index),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    address: `bench:${index}`,
    version: 'bench',
    reconciler: { intervalMs: never },
  });
  const ids: string[] = [];
  const run = async (phase: Phase): Promise<PhaseFigures> => {
    Object.assign(counts, noCounts());
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    const begun = performance.now();
    const limit = limitConcurrency(clients);
    await Promise.all(
      Array.from({ length: operations }, (_, number) =>
        limit(() => work[phase](core, { names, ids, number, app: `app${index}x${number % clients}` })),
      ),
    );
    delay.disable();
    return {
      ...counts,
      seconds: (performance.now() - begun) / 1000,
      loopMaxMs: delay.max / 1e6,
      loop99Ms: delay.percentile(99) / 1e6,
    };
  };
  process.on('message', (phase: Phase | 'end') => {
    if (phase !== 'end') {
      void run(phase).then((figures) => process.send?.(figures));
      return;
    }
    void core
      .close()
      .then(() => inner.close())
      .then(() => process.disconnect());
  });
  process.send?.('ready');
}

interface Target {
  names: readonly string[];
  ids: string[];
  number: number;
  app: string;
}

const signal = new AbortController().signal;

const work: Record<Phase, (core: Core, target: Target) => Promise<void>> = {
  create: async ({ context, membership }, { names, ids, number, app }) => {
    for await (const event of createWorkloads(context, membership.current(), request(app, names), signal)) {
      if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
      if (event.type !== 'done') continue;
      if (event.error !== undefined) throw event.error;
      ids[number] = event.id;
    }
  },
  realloc: async ({ context, membership }, { ids, number }) => {
    const resources = { cpumem: { 'memory-request': MiB, 'memory-limit': MiB } };
    await reallocWorkload(context, membership.current(), { id: ids[number] ?? '', resources }, signal);
  },
  replace: async ({ context, membership }, { names, ids, number, app }) => {
    const { record, failure } = await replaceWorkload(
      context,
      membership.current(),
      {
        id: ids[number] ?? '',
        instance: request(app, names),
        sequence: number,
        inheritNetworks: false,
        copy: new Map(),
        overlap: undefined,
        gateMs: 0,
        needsImage: false,
      },
      signal,
    );
    if (failure !== undefined) throw failure;
    ids[number] = record?.id ?? '';
  },
  remove: async ({ context, membership }, { ids, number }) => {
    const remove = { id: ids[number] ?? '', force: true, stop: true, graceMs: null };
    await removeWorkload(context, membership.current(), remove, signal);
  },
};

if (process.send !== undefined) await serve(JSON.parse(process.argv[2] ?? '') as CoreJob);
