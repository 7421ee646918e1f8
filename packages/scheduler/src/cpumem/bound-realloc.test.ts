import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PlannedNode } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { cases, faults, nodeOf, seed, type Case } from './cases.suite.ts';
import { enumerate } from './enumerator.suite.ts';
import { cpumem } from './kind.ts';
import { openable } from './split.ts';

const scheduler = createScheduler({ kinds: [cpumem] });
const keep = { 'keep-cpu-bind': true };

function held(cpu: number, cpuMap: Record<string, number>, rest: JsonObject = {}): { cpumem: JsonObject } {
  return { cpumem: { cpu_request: cpu, cpu_limit: cpu, memory_request: 0, memory_limit: 0, cpu_map: cpuMap, ...rest } };
}

/** The new map of a workload that is alone on a node where `free` is free without it. */
function realloc(
  free: Record<string, number>,
  current: { cpumem: JsonObject },
  request: JsonObject,
  rest: JsonObject = {},
): unknown {
  const capacity = { cpu: 0, cpu_map: free, memory: 1000, numa: {}, numa_memory: {}, ...rest };
  const empty = { capacity: { cpumem: capacity }, usage: { cpumem: { cpu: 0, cpu_map: {}, memory: 0 } } };
  const node: PlannedNode = { name: 'n', labels: {}, resources: scheduler.book(empty, [current], []) };
  const result = scheduler.realloc(node, current, { cpumem: request });
  if (!result.ok) return result.refusal;
  const { cpu_map: cpuMap, numa_node: zone } = result.resources['cpumem'] as JsonObject;
  return zone === '' ? cpuMap : { ...(cpuMap as JsonObject), zone };
}

const three = { 0: 100, 1: 100, 2: 100, 3: 50 };
const four = { 0: 100, 1: 100, 2: 100, 3: 100 };

describe('worked examples', () => {
  test.each([
    ['3.5, 7', three, held(1.5, { 2: 100, 3: 50 }), { cpu: 1 }, { 2: 100, 0: 100, 3: 50 }],
    ['3.5, 7, two whole cores', four, held(2, { 1: 100, 3: 100 }), { cpu: -1 }, { 1: 100 }],
    ['3.6', { 0: 100, 1: 100 }, held(1, { 1: 100 }), { cpu: 0.5 }, { 0: 100, 1: 50 }],
  ])('%s', (_example, free, current, request, expected) => {
    expect(realloc(free, current, { ...keep, ...request })).toEqual(expected);
  });

  test('3.6: the bookings differ by what moved', () => {
    const before = held(1, { 1: 100 });
    const after = held(1.5, { 0: 100, 1: 50 });
    const empty = { capacity: {}, usage: {} };
    expect(scheduler.book(empty, [after], [before]).usage['cpumem']).toMatchObject({
      cpu: 0.5,
      cpu_map: { 0: 100, 1: -50 },
    });
  });
});

describe('a realloc', () => {
  const zones = { numa: { 0: '0', 1: '0', 2: '1', 3: '1' }, numa_memory: { 0: 500, 1: 500 } };
  const inOne = (cpuMap: Record<string, number>, memory = 0): { cpumem: JsonObject } =>
    held(1, cpuMap, { memory_request: memory, memory_limit: memory, numa_node: '1', numa_memory: { 1: memory } });

  test.each([
    ['that changes memory only moves no core', four, held(1.5, { 3: 100, 1: 50 }), { memory: 10 }, { 3: 100, 1: 50 }],
    [
      'keeps its fragment where it is, also where another core has a better rest',
      three,
      held(0.5, { 0: 50 }),
      { cpu: -0.1 },
      { 0: 40 },
    ],
    [
      'that outgrows its core leaves it for the best rest',
      { 0: 60, 1: 80, 2: 100 },
      held(0.5, { 0: 50 }),
      { cpu: 0.2 },
      { 1: 70 },
    ],
    ['shrinks within its cores', four, held(2, { 1: 100, 3: 100 }), { cpu: -0.5 }, { 1: 50, 3: 100 }],
    [
      'makes a core on which it is alone a whole one, where a broken one takes the fragment',
      three,
      held(0.5, { 1: 50 }),
      { cpu: 1 },
      { 1: 100, 3: 50 },
    ],
    [
      'leaves its fragment beside another, and takes the whole core elsewhere',
      { 0: 100, 1: 80, 2: 50 },
      held(0.5, { 1: 50 }),
      { cpu: 1 },
      { 0: 100, 1: 50 },
    ],
    ['breaks no whole core where a broken one does', three, held(1, { 1: 100 }), { cpu: 0.5 }, { 1: 100, 3: 50 }],
  ])('%s', (_rule, free, current, request, expected) => {
    expect(realloc(free, current, { ...keep, ...request })).toEqual(expected);
  });

  test('prefers its NUMA node, then another one, then both', () => {
    expect(realloc(four, inOne({ 2: 100 }), { ...keep, cpu: 1 }, zones)).toEqual({ 2: 100, 3: 100, zone: '1' });
    expect(realloc({ ...four, 2: 200, 3: 0 }, inOne({ 2: 100 }), { ...keep, cpu: 1 }, zones)).toEqual({
      0: 100,
      1: 100,
      zone: '0',
    });
    expect(realloc(four, inOne({ 2: 100 }), { ...keep, cpu: 2 }, zones)).toEqual({ 0: 100, 1: 100, 2: 100 });
  });

  test('leaves its NUMA node for want of memory, and stays when it does not grow', () => {
    expect(realloc(four, inOne({ 2: 100 }, 400), { ...keep, memory: 200 }, zones)).toEqual({ 2: 100 });
    const tight = { ...zones, numa_memory: { 0: 500, 1: 100 } };
    expect(realloc(four, inOne({ 2: 100 }, 400), { ...keep, memory: -100 }, tight)).toEqual({ 2: 100, zone: '1' });
  });

  test('keeps to the policy that it was created with', () => {
    const required = inOne({ 2: 100 });
    const current = { cpumem: { ...required.cpumem, numa_policy: 'require' } };
    expect(realloc(four, current, { ...keep, cpu: 2 }, zones)).toMatchObject({
      reason: 'free whole cores in one NUMA node',
      needed: 3,
      free: 2,
    });
    expect(realloc(four, current, { ...keep, cpu: 2, numa: 'none' }, zones)).toEqual({ 0: 100, 1: 100, 2: 100 });
  });

  test('without either flag loses its cores, with cpu-bind it gets some', () => {
    expect(realloc(four, held(1, { 2: 100 }), {})).toBeNull();
    expect(
      realloc(
        four,
        { cpumem: { cpu_request: 1, cpu_limit: 1, memory_request: 0, memory_limit: 0 } },
        { 'cpu-bind': true },
      ),
    ).toEqual({ 0: 100 });
  });

  test('says what is missing', () => {
    expect(realloc(three, held(1, { 2: 100 }), { ...keep, cpu: 3 })).toMatchObject({
      reason: 'free whole cores',
      needed: 4,
      free: 3,
    });
    expect(realloc({ 0: 100, 1: 100 }, held(2, { 0: 100, 1: 100 }), { ...keep, cpu: 0.5 })).toMatchObject({
      reason: 'free pieces of a core besides 2 whole',
      needed: 50,
      free: 0,
    });
  });
});

/** The most of its old cores that any plan on these cores could keep: every choice is looked at. */
function mostKept(tested: Case, zone: string, old: readonly string[]): number {
  const { free, numa, shareBase, maxShare, cpu } = tested;
  const cores = Object.keys(free).filter((core) => zone === '' || numa[core] === zone);
  const pieces = Math.trunc(cpu * shareBase);
  const [whole, fragment] = [Math.floor(pieces / shareBase), pieces % shareBase];
  const left = (core: string): number => free[core] as number;
  const full = cores.filter((core) => left(core) >= shareBase && left(core) % shareBase === 0);
  const broken = cores.filter((core) => left(core) > 0 && !full.includes(core));
  const open = openable(full.length, broken.length, whole, maxShare) > 0 ? [...broken, ...full] : broken;
  const fragmentCores = fragment === 0 ? [''] : open.filter((core) => left(core) >= fragment);
  const kept = (chosen: readonly string[]): number => chosen.filter((core) => old.includes(core)).length;
  const choices = fragmentCores.flatMap((core) =>
    subsets(
      full.filter((other) => other !== core),
      whole,
    ).map((chosen) => kept([core, ...chosen])),
  );
  return Math.max(0, ...choices);
}

function subsets(list: readonly string[], size: number): string[][] {
  const [first, ...rest] = list;
  if (size === 0) return [[]];
  if (first === undefined) return [];
  return [...subsets(rest, size - 1).map((subset) => [first, ...subset]), ...subsets(rest, size)];
}

describe('nothing moves that need not', () => {
  const changes = fc.record({
    others: fc.nat({ max: 4 }),
    pieces: fc.oneof(fc.constant(0), fc.integer({ min: -150, max: 150 })),
    memory: fc.constantFrom(0, 0, 20, -5),
  });

  test.each([0, 2, 3])('on nodes with %i NUMA nodes', (zones) => {
    fc.assert(
      fc.property(cases(zones), changes, (tested, change) => {
        const { shareBase, maxShare } = tested;
        const kind = cpumem({ shareBase, maxShare, maxDeployCount: 10_000 });
        const asked = { cpu: tested.cpu, 'memory-request': tested.memoryRequest, 'cpu-bind': true };
        const state = kind.state(nodeOf(tested));
        const measure = { count: 0, usage: 0, rate: 0, weight: 0 };
        kind.measure(state, kind.parse(asked), measure);
        if (measure.count === 0) return;
        const [current, ...others] = kind
          .allocate(state, kind.parse(asked), Math.min(measure.count, 1 + change.others))
          .map(({ resources }) => resources)
          .reverse() as [JsonObject, ...JsonObject[]];

        const cpu = Math.round(tested.cpu * shareBase + (change.pieces * shareBase) / 100) / shareBase;
        const memoryRequest = tested.memoryRequest + change.memory;
        if (cpu <= 0 || memoryRequest < 0) return;
        const without = { ...withoutPlans(tested, others), cpu, memoryRequest };
        const delta = { ...keep, cpu: cpu - tested.cpu, 'memory-request': change.memory };
        const answer = kind.realloc(kind.state(nodeOf(without)), current, delta);

        const origin = current['cpu_map'] as Record<string, number>;
        const possible = enumerate(without, { cpu, memory: memoryRequest, origin, shareBase, maxShare });
        const enough = memoryRequest === 0 || without.memory >= memoryRequest;
        if ('reason' in answer) {
          expect(enough ? possible : []).toEqual([]);
          return;
        }
        const { cpu_map: cpuMap, numa_node: zone } = answer.resources as { cpu_map: JsonObject; numa_node: string };
        expect(faults(without, [answer.resources])).toEqual([]);
        const old = Object.keys(origin);
        const stayed = Object.keys(cpuMap).filter((core) => old.includes(core)).length;
        expect(stayed).toBeGreaterThanOrEqual(mostKept(without, zone, old));
        if (change.pieces === 0 && change.memory <= 0)
          expect({ cpuMap, zone }).toEqual({ cpuMap: origin, zone: current['numa_node'] });
        if (possible.some(({ numaNode }) => numaNode === current['numa_node'])) expect(zone).toBe(current['numa_node']);
      }),
      { seed, numRuns: 2000 },
    );
  });
});

/** The node when others have these cores and this memory. */
function withoutPlans(tested: Case, plans: readonly JsonObject[]): Case {
  const free = { ...tested.free };
  const numaMemory = { ...tested.numaMemory };
  for (const { cpu_map: cpuMap, numa_node: zone } of plans) {
    for (const [core, pieces] of Object.entries(cpuMap as Record<string, number>))
      free[core] = (free[core] ?? 0) - pieces;
    if (typeof zone === 'string' && zone !== '') numaMemory[zone] = (numaMemory[zone] ?? 0) - tested.memoryRequest;
  }
  return { ...tested, free, numaMemory, memory: tested.memory - plans.length * tested.memoryRequest };
}
