import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catching } from '../catching.suite.ts';
import type { NodeResources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { cpumem } from './kind.ts';

const scheduler = createScheduler({ kinds: [cpumem] });
const machine = { cpus: 4, memory: 1000, storage: 0, resources: {} };
const normal = (raw: JsonObject): JsonObject | undefined => scheduler.validate({ cpumem: raw })['cpumem'];

describe('a workload request', () => {
  test.each([
    ['a missing request takes the limit', { 'cpu-limit': 2, 'memory-limit': 5 }, [2, 2, 5, 5]],
    [
      'a limit below its request is raised',
      { 'cpu-request': 2, 'cpu-limit': 1, 'memory-request': 5, 'memory-limit': 3 },
      [2, 2, 5, 5],
    ],
    ['no limit stays no limit', { 'cpu-request': 0.5, 'memory-request': 5 }, [0.5, 0, 5, 0]],
    ['cpu and memory mean both', { cpu: 0.1, memory: '1K' }, [0.1, 0.1, 1024, 1024]],
    ['the long keys win over the short ones', { cpu: 1, 'cpu-limit': 2, memory: 7, 'memory-request': 3 }, [1, 2, 3, 7]],
    ['numbers may be text', { 'cpu-request': '1.5', 'memory-request': '64' }, [1.5, 0, 64, 0]],
    ['bad values are zero', { 'cpu-request': 'x', 'memory-request': '1G' }, [0, 0, 0, 0]],
    ['bytes are rounded', { 'memory-request': 1.9999 }, [0, 0, 2, 0]],
    ['CPU has 9 decimals', { 'cpu-request': 0.1 + 0.2 }, [0.3, 0, 0, 0]],
    ['unknown keys are ignored', { colour: 'red' }, [0, 0, 0, 0]],
  ])('%s', (_rule, raw, [cpuRequest, cpuLimit, memoryRequest, memoryLimit]) => {
    expect(normal(raw as JsonObject)).toEqual({
      'cpu-bind': false,
      'cpu-request': cpuRequest,
      'cpu-limit': cpuLimit,
      'memory-request': memoryRequest,
      'memory-limit': memoryLimit,
    });
  });

  test.each([
    [{ 'memory-limit': -1, 'cpu-limit': -1 }, 'memory-limit', 'limit or request less than 0: invalid memory'],
    [{ 'memory-request': -5 }, 'memory-request', 'limit or request less than 0: invalid memory'],
    [{ 'cpu-request': -0.5 }, 'cpu-request', 'limit or request less than 0: invalid cpu'],
    [{ 'cpu-bind': true }, 'cpu-request', 'unlimited request with bind: invalid cpu'],
  ])('%j is refused', (raw, field, original) => {
    const thrown = catching(() => normal(raw));
    expect(thrown).toMatchObject({ code: 'invalid', details: { field: `cpumem.${field}` } });
    expect(thrown.message).toMatch(new RegExp(`^cpumem ${field}: .* is not allowed; .*: ${original}$`));
  });

  test('bound cores have a NUMA policy, and their limit is their request', () => {
    expect(normal({ 'cpu-bind': 'false', 'cpu-request': 1, 'cpu-limit': 1.5 })).toEqual({
      'cpu-bind': true,
      numa: 'prefer',
      'cpu-request': 1.5,
      'cpu-limit': 1.5,
      'memory-request': 0,
      'memory-limit': 0,
    });
    expect(normal({ 'cpu-bind': true, cpu: 1, numa: 'require' })).toMatchObject({ numa: 'require' });
  });

  test.each([
    [{ cpu: 0.009, 'cpu-bind': true }, 'a core is bound in 100 pieces, ask for 0.01 or more: invalid cpu'],
    [{ cpu: 1, 'cpu-bind': true, numa: 'always' }, 'write none, prefer or require: invalid numa'],
    [{ cpu: 1, numa: 'require' }, 'only bound cores can be kept in one NUMA node: add cpu-bind: invalid numa'],
  ])('%j is refused with a remedy', (raw, remedy) => {
    const thrown = catching(() => normal(raw));
    expect(thrown).toMatchObject({ code: 'invalid', message: expect.stringContaining(remedy) });
  });

  test('unknown keys can be told', () => {
    expect(scheduler.unknownKeys({ cpumem: { 'cpu-requests': 1, cpu: 1 }, gpus: {} })).toEqual([
      'cpumem.cpu-requests',
      'gpus',
    ]);
  });
});

describe('a node', () => {
  test('has all cores and 80 % of the memory of its machine', () => {
    expect(scheduler.addNode(undefined, { ...machine, cpus: 2, memory: 999 })).toEqual({
      capacity: { cpumem: { cpu: 2, cpu_map: { 0: 100, 1: 100 }, memory: 799, numa: {}, numa_memory: {} } },
      usage: { cpumem: { cpu: 0, cpu_map: { 0: 0, 1: 0 }, memory: 0, numa: {}, numa_memory: {} } },
    });
  });

  test('has what its engine tells of cpumem rather than the bare figures', () => {
    const told = { cpu: 2, memory: 500, numa: { 0: '0', 1: '1' }, numa_memory: { 0: 200, 1: 300 } };
    expect(scheduler.addNode({}, { ...machine, resources: { cpumem: told } }).capacity['cpumem']).toEqual({
      cpu: 2,
      cpu_map: { 0: 100, 1: 100 },
      memory: 400,
      numa: { 0: '0', 1: '1' },
      numa_memory: { 0: 160, 1: 240 },
    });
  });

  test('takes the operator’s figures; NUMA memory is shared among NUMA nodes', () => {
    const request = { cpu: '0:100, 1:50,2:300', memory: '1K', 'numa-cpu': ['0,1', '2'] };
    expect(scheduler.addNode({ cpumem: request }, machine).capacity['cpumem']).toEqual({
      cpu: 3,
      cpu_map: { 0: 100, 1: 50, 2: 300 },
      memory: 1024,
      numa: { 0: '0', 1: '0', 2: '1' },
      numa_memory: { 0: 512, 1: 512 },
    });
    expect(scheduler.addNode({ cpumem: { cpu: '2', share: 200 } }, machine).capacity['cpumem']).toMatchObject({
      cpu_map: { 0: 200, 1: 200 },
    });
  });

  test.each([
    [{ cpu: 'many' }, 'invalid cpu map'],
    [{ cpu: '0100,x' }, 'invalid cpu map'],
    [{ cpu: -1 }, 'invalid cpu map'],
    [{ cpu: '0:-5' }, 'invalid cpu map'],
    [{ 'numa-cpu': ['0,1'] }, 'invalid numa cpu'],
    [{ 'numa-cpu': ['a'] }, 'invalid numa cpu'],
    [{ cpu: 2, 'numa-cpu': ['0', '1'], 'numa-memory': ['1G'] }, 'invalid numa memory'],
    [{ memory: '1X' }, 'memory'],
    [{ memory: -1 }, 'invalid memory'],
  ])('%j is refused', (request, text) => {
    const thrown = catching(() => scheduler.addNode({ cpumem: request }, machine));
    expect(thrown).toMatchObject({ code: 'invalid', message: expect.stringContaining(text) });
  });

  test('changes by amounts, or part by part', () => {
    const node = scheduler.addNode(undefined, machine);
    const changed = (request: JsonObject, delta: boolean): JsonObject | undefined =>
      scheduler.setCapacity(node, { cpumem: request }, { delta }).capacity['cpumem'];
    expect(changed({ memory: '-300' }, true)).toMatchObject({ cpu: 4, memory: 500 });
    expect(changed({ cpu: '0:-100,4:50' }, true)).toMatchObject({
      cpu: 4,
      cpu_map: { 1: 100, 2: 100, 3: 100, 4: 50 },
    });
    expect(changed({ memory: 64 }, false)).toMatchObject({ cpu: 4, memory: 64 });
    expect(changed({ cpu: 2 }, false)).toMatchObject({ cpu_map: { 0: 100, 1: 100 }, memory: 800 });
    expect(scheduler.setCapacity(node, {}, { delta: false })).toEqual(node);
  });

  test('usage follows the cores: new ones start at 0, a core in use cannot go', () => {
    const node = scheduler.addNode(undefined, machine);
    const grown = scheduler.setCapacity(node, { cpumem: { cpu: 5 } }, { delta: false });
    expect(grown.usage['cpumem']).toMatchObject({ cpu_map: { 0: 0, 1: 0, 2: 0, 3: 0, 4: 0 } });
    const busy = scheduler.book(node, [{ cpumem: { cpu_request: 1, cpu_map: { 3: 100 } } }], []);
    const shrink = catching(() => scheduler.setCapacity(busy, { cpumem: { cpu: 2 } }, { delta: false }));
    expect(shrink.message).toBe('cpumem capacity: core 3: 100 used of 0: invalid resource capacity');
  });

  test('has a metric for each core and for its sums', () => {
    const node = scheduler.book(scheduler.addNode({ cpumem: { cpu: 1 } }, machine), [held(0.5, 100)], []);
    expect(scheduler.metrics('p', 'n.1', node).map(({ key, value }) => `${key}=${value}`)).toEqual([
      'core.node.n_1.cpu.0=0',
      'core.node.n_1.cpu.used=0.5',
      'core.node.n_1.memory=800',
      'core.node.n_1.memory.used=100',
    ]);
    for (const { name, labels } of scheduler.metrics('p', 'n.1', node)) {
      const description = scheduler.metricDescriptions.find((each) => each.name === name);
      expect(description?.labels).toHaveLength(labels.length);
    }
  });
});

function held(cpu: number, memory: number, rest: JsonObject = {}): { cpumem: JsonObject } {
  return { cpumem: { cpu_request: cpu, cpu_limit: cpu, memory_request: memory, memory_limit: memory, ...rest } };
}

describe('bookings', () => {
  const node = scheduler.addNode({ cpumem: { cpu: 2, 'numa-cpu': ['0', '1'] } }, machine);
  const amount = fc.record({
    cpu: fc.integer({ min: 0, max: 4_000_000_000 }).map((nanos) => nanos / 1e9),
    memory: fc.integer({ min: 0, max: 2 ** 50 }),
    pieces: fc.integer({ min: 0, max: 100 }),
  });
  const workloads = fc.array(
    amount.map(({ cpu, memory, pieces }) => held(cpu, memory, { cpu_map: { 0: pieces }, numa_memory: { 1: memory } })),
    { maxLength: 20 },
  );

  test('what is booked and given back in any order leaves no trace', () => {
    const there = workloads.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(there, ([added, removed]) => {
        const booked = added.reduce((now, workload) => scheduler.book(now, [workload], []), node);
        expect(scheduler.diff(booked, added)).toEqual({ lines: [], fixed: booked });
        expect(removed.reduce((now, workload) => scheduler.book(now, [], [workload]), booked)).toEqual(node);
      }),
      { seed: 20_263, numRuns: 200 },
    );
  });

  test('differences have the original’s texts and order, and are mended', () => {
    const wrong = scheduler.book(node, [held(1, 5, { cpu_map: { 0: 100 }, numa_memory: { 0: 5 } })], []);
    const { lines, fixed } = scheduler.diff(wrong, [held(2, 0)]);
    expect(lines).toEqual([
      'node.CPUUsed != sum(workload.CPURequest): 1.00 != 2.00',
      'node.CPUMap[0] != sum(workload.CPUMap[0]): 100 != 0',
      'node.NUMAMemory[0] != sum(workload.NUMAMemory[0]: 5 != 0)',
      'node.MemoryUsed != sum(workload.MemoryRequest): 5 != 0',
    ]);
    expect(fixed).toEqual(scheduler.book(node, [held(2, 0)], []));
    expect(scheduler.sum([held(0.1, 3), held(0.2, 4)])).toMatchObject({ cpumem: { cpu: 0.3, memory: 7 } });
  });

  test('a node holds at most its cores, NUMA memory and memory; CPU is over-committed', () => {
    const full = (...workload: Parameters<typeof held>): string[] =>
      scheduler.fits(scheduler.book(node, [held(...workload)], []));
    expect(full(99, 800)).toEqual([]);
    expect(full(1, 801)).toEqual(['cpumem memory: 801 used of 800']);
    expect(full(1, 0, { cpu_map: { 1: 101 } })).toEqual(['cpumem core 1: 101 used of 100']);
    expect(full(1, 0, { numa_memory: { 0: 401 } })).toEqual(['cpumem NUMA node 0: 401 used of 400']);
    expect(scheduler.fits(scheduler.book(node, [], [held(0, 1)]))).toEqual(['cpumem memory: -1 used of 800']);
  });

  test('the larger of two bookings covers both', () => {
    const larger = scheduler.maxUsage(held(1, 9, { cpu_map: { 0: 100 } }), held(2, 3, { cpu_map: { 1: 50 } }));
    expect(larger).toEqual(held(2, 9, { cpu_map: { 0: 100, 1: 50 }, numa_memory: null, numa_node: '' }));
  });
});

describe('realloc', () => {
  const current = held(1, 100);
  const node = (used: number): { name: string; labels: {}; resources: NodeResources } => ({
    name: 'n',
    labels: {},
    resources: scheduler.book(scheduler.addNode(undefined, machine), [current, held(1, used)], []),
  });

  test('adds to what the workload has, within what the node has free without it', () => {
    expect(scheduler.realloc(node(600), current, { cpumem: { cpu: 0.5, memory: 100 } })).toEqual({
      ok: true,
      resources: held(1.5, 200, { cpu_map: null, numa_memory: null, numa_node: '' }),
      engineParams: { cpumem: { cpu: 1.5, cpu_map: null, numa_node: '', memory: 200, remap: false } },
    });
    expect(scheduler.realloc(node(600), current, { cpumem: { memory: 101 } })).toMatchObject({
      ok: false,
      refusal: { node: 'n', kind: 'cpumem', reason: 'free memory', needed: 201, free: 200 },
    });
  });

  test('shrinks also on a node that holds too much', () => {
    expect(scheduler.realloc(node(1000), current, { cpumem: { memory: -50 } })).toMatchObject({
      ok: true,
      resources: { cpumem: { memory_request: 50, cpu_request: 1 } },
    });
  });

  test('below zero is invalid', () => {
    expect(catching(() => scheduler.realloc(node(0), current, { cpumem: { cpu: -2 } })).message).toContain(
      'invalid cpu',
    );
  });
});

describe('remap', () => {
  const bound = held(1, 0, { cpu_map: { 0: 100 } });
  const fragment = held(0.3, 0, { cpu_map: { 2: 30 } });
  const free = held(0.5, 64);
  const empty = scheduler.addNode(undefined, machine);

  test('gives the cores that nobody has bound to those without cores of their own', () => {
    const node = scheduler.book(empty, [bound, fragment, free], []);
    const workloads = new Map(Object.entries({ bound, fragment, free }));
    expect(scheduler.remap(node, workloads)).toEqual(
      new Map([
        ['free', { cpumem: { cpu: 0.5, cpu_map: { 1: 100, 3: 100 }, numa_node: '', memory: 64, remap: true } }],
      ]),
    );
  });

  test('where all are bound, all are shared', () => {
    const others = [1, 2, 3].map((core) => held(1, 0, { cpu_map: { [core]: 100 } }));
    const node = scheduler.book(empty, [bound, ...others, free], []);
    expect(scheduler.remap(node, new Map([['free', free]])).get('free')).toMatchObject({
      cpumem: { cpu_map: { 0: 100, 1: 100, 2: 100, 3: 100 } },
    });
  });
});
