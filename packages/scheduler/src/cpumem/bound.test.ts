import type { JsonObject } from '@eru/kit';
import { describe, expect, test } from 'vitest';
import { Fleet } from '../fleet/fleet.ts';
import type { PlannedNode } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { enumerate } from './enumerator.suite.ts';
import { cpumem } from './kind.ts';

interface Free {
  readonly cores: Readonly<Record<string, number>>;
  readonly memory?: number;
  readonly numa?: Readonly<Record<string, string>>;
  readonly numaMemory?: Readonly<Record<string, number>>;
  readonly maxShare?: number;
}

/** A node with these pieces free on cores of 100 (more where more is free). */
function nodeOf({ cores, memory = 0, numa = {}, numaMemory = {} }: Free): PlannedNode {
  const names = Object.keys(cores);
  const capacity = Object.fromEntries(names.map((core) => [core, Math.max(100, cores[core] ?? 0)]));
  const used = Object.fromEntries(names.map((core) => [core, (capacity[core] ?? 0) - (cores[core] ?? 0)]));
  return {
    name: 'n',
    labels: {},
    resources: {
      capacity: { cpumem: { cpu: names.length, cpu_map: capacity, memory, numa, numa_memory: numaMemory } },
      usage: { cpumem: { cpu: 0, cpu_map: used, memory: 0, numa, numa_memory: {} } },
    },
  };
}

/** `{1:50,2:100}@0` for a plan of these cores in NUMA node 0. */
function write(resources: JsonObject = {}): string {
  const { cpu_map: cpuMap, numa_node: zone } = resources as { cpu_map: Record<string, number>; numa_node: string };
  const cores = Object.entries(cpuMap).map(([core, pieces]) => `${core}:${pieces}`);
  return `{${cores.join(',')}}${zone === '' ? '' : `@${zone}`}`;
}

function plans(free: Free, request: JsonObject, count?: number): string[] {
  const scheduler = createScheduler({ kinds: [cpumem], maxShare: free.maxShare ?? -1 });
  const fleet = new Fleet(scheduler);
  fleet.set(nodeOf(free));
  const asked = { resources: { cpumem: { 'cpu-bind': true, ...request } }, candidates: ['n'] };
  const { total } = scheduler.capacity(fleet, asked).capacity;
  if (total === 0) return [];
  const plan = scheduler.plan(fleet, {
    ...asked,
    strategy: 'AUTO',
    count: count ?? total,
    nodesLimit: 0,
    counts: new Map(),
  });
  if (!plan.ok) throw new Error(plan.message);
  return plan.instances.map(({ resources }) => write(resources['cpumem']));
}

const four = { 0: 100, 1: 100, 2: 100, 3: 100 };
const numa = { 0: '0', 1: '0', 2: '0', 3: '1', 4: '1' };

describe('the worked examples of section 3.5', () => {
  test.each<[string, Free, JsonObject, string]>([
    ['1', { cores: { 0: 100, 1: 60, 2: 100, 3: 40 } }, { cpu: 0.5 }, '{1:50} {0:50} {0:50} {2:50} {2:50}'],
    ['2', { cores: { 0: 100, 1: 200, 2: 100, 3: 300 } }, { cpu: 2 }, '{2:100,3:100} {1:100,3:100} {1:100,3:100}'],
    ['3', { cores: { 0: 100, 1: 100, 2: 100, 3: 90 } }, { cpu: 1.4 }, '{0:100,3:40} {1:100,3:40}'],
    ['4', { cores: four }, { cpu: 1.4 }, '{0:40,1:100} {0:40,2:100}'],
    ['4 with max share 1', { cores: four, maxShare: 1 }, { cpu: 1.4 }, '{0:40,1:100} {0:40,2:100}'],
    ['5', { cores: { 0: 100, 1: 100, 2: 100, 10: 100 } }, { cpu: 2 }, '{0:100,1:100} {2:100,10:100}'],
    [
      '6',
      { cores: { ...four, 4: 100 }, memory: 4000, numa, numaMemory: { 0: 1500, 1: 2000 } },
      { cpu: 1.5, 'memory-request': 1000 },
      '{0:50,1:100}@0 {3:50,4:100}@1 {0:50,2:100}',
    ],
    ['8', { cores: { 0: 100, 1: 100, 2: 100 }, memory: 10_000 }, { cpu: 0.5, 'memory-request': 4000 }, '{0:50} {0:50}'],
  ])('%s', (_number, free, request, expected) => {
    const cpu = Number(request['cpu']);
    const memory = Number(request['memory-request'] ?? 0);
    const { cores, maxShare } = free;
    const enumerated = enumerate({ memory: 0, ...free, free: cores }, { cpu, memory, maxShare: maxShare ?? -1 });
    const written = enumerated.map(({ cpuMap, numaNode = '' }) => write({ cpu_map: cpuMap, numa_node: numaNode }));
    expect(written.join(' ')).toBe(expected);
    expect(plans(free, request).join(' ')).toBe(expected);
  });
});
