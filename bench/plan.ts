import { seededRandom } from '@eru/kit';
import { builtinKinds, createScheduler, Fleet, type PlanRequest, type Strategy } from '@eru/scheduler';

import { quantile, type Bench, type Row } from './table.ts';

const gib = 2 ** 30;

/** A decision on a fleet whose nodes differ in size and load, with one booking between two decisions, as in life. */
export const planBench: Bench = {
  name: 'plan',
  run: () => Promise.resolve([5_000, 50_000].flatMap((size) => measure(size))),
};

function measure(size: number): Row[] {
  const random = seededRandom(1);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const fleet = new Fleet(scheduler);
  const names = Array.from({ length: size }, (_, index) => `node-${String(index).padStart(6, '0')}`);
  for (const name of names) {
    const cpus = [16, 32, 64, 96][random.int(4)] ?? 16;
    const fresh = scheduler.addNode(undefined, { cpus, memory: cpus * 4 * gib, storage: 0, resources: {} });
    const used = {
      cpumem: { cpu_request: 1, cpu_limit: 1, memory_request: random.int(cpus * 3) * gib, memory_limit: 0 },
    };
    fleet.set({ name, labels: {}, resources: scheduler.book(fresh, [used], []) });
  }
  const rows: Row[] = [];
  for (const strategy of ['AUTO', 'GLOBAL', 'DRAINED'] satisfies Strategy[]) {
    const samples: number[] = [];
    for (let round = 0; round < 60; round++) {
      const memory = (1 + random.int(8)) * gib;
      const request: PlanRequest = {
        resources: { cpumem: { 'cpu-request': 1, 'cpu-limit': 1, 'memory-request': memory, 'memory-limit': memory } },
        strategy,
        count: 100,
        nodesLimit: 0,
        candidates: names,
        counts: new Map(),
      };
      const begun = performance.now();
      const plan = scheduler.plan(fleet, request);
      samples.push(performance.now() - begun);
      const first = plan.ok ? plan.instances[0] : undefined;
      const node = first === undefined ? undefined : fleet.get(first.node);
      if (first !== undefined && node !== undefined)
        fleet.set({ ...node, resources: scheduler.book(node.resources, [first.resources], []) });
    }
    rows.push({
      bench: 'plan',
      what: `${size} nodes, 100 instances, ${strategy}, p50`,
      value: quantile(samples, 0.5),
      unit: 'ms',
    });
    rows.push({
      bench: 'plan',
      what: `${size} nodes, 100 instances, ${strategy}, p99`,
      value: quantile(samples, 0.99),
      unit: 'ms',
    });
  }
  return rows;
}
