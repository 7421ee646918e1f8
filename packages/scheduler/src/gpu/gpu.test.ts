import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catching } from '../catching.suite.ts';
import { Fleet } from '../fleet/fleet.ts';
import type { MachineInfo, NodeResources, PlanResult, ReallocResult, Resources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { gpu } from './kind.ts';

const scheduler = createScheduler({ kinds: [gpu] });
const machine: MachineInfo = { cpus: 1, memory: 1, storage: 0, resources: {} };

function nodeWith(request: JsonObject): NodeResources {
  return scheduler.addNode({ gpu: request }, machine);
}

function held(products: Record<string, number>, ...devices: string[]): Resources {
  return { gpu: { prod_count_map: products, ...(devices.length > 0 ? { devices } : {}) } };
}

function ask(node: NodeResources, products: JsonObject, count = 1): PlanResult {
  const fleet = new Fleet(scheduler);
  fleet.set({ name: 'n', labels: {}, resources: node });
  return scheduler.plan(fleet, {
    resources: { gpu: { prod_count_map: products } },
    candidates: ['n'],
    strategy: 'AUTO',
    count,
    nodesLimit: 0,
    counts: new Map(),
  });
}

function change(node: NodeResources, current: Resources, delta: JsonObject): ReallocResult {
  const resources = scheduler.book(node, [current], []);
  return scheduler.realloc({ name: 'n', labels: {}, resources }, current, { gpu: { prod_count_map: delta } });
}

describe('counts', () => {
  const node = nodeWith({ prod_count_map: { a100: 6, t4: 2 } });
  const used = scheduler.book(node, [held({ a100: 1 })], []);

  test.each<[JsonObject, number, number]>([
    [{ a100: 2 }, 2, 2 / 8],
    [{ a100: 1, t4: 1 }, 2, 2 / 8],
    [{ h100: 1 }, 0, 1 / 8],
    [{ a100: '3' }, 1, 3 / 8],
    [{}, Infinity, 0],
  ])('%j: capacity, usage and rate', (products, count, rate) => {
    const [kind] = scheduler.kinds;
    const measure = { count: 0, usage: 0, rate: 0, weight: 0 };
    const state = kind?.state({ name: 'n', labels: {}, resources: used });
    kind?.measure(state, kind.parse({ prod_count_map: products }), measure);
    expect(measure).toEqual({ count, usage: 1 / 8, rate, weight: 1 });
  });

  test('a deploy books and tells the engine the counts', () => {
    expect(ask(node, { a100: 1 }, 2)).toMatchObject({
      ok: true,
      instances: [1, 2].map(() => ({
        resources: { gpu: { prod_count_map: { a100: 1 } } },
        engineParams: { gpu: { prod_count_map: { a100: 1 } } },
      })),
    });
    expect(ask(used, { a100: 6 })).toMatchObject({
      ok: false,
      refused: [{ kind: 'gpu', reason: 'free a100', needed: 6, free: 5, unit: 'number' }],
    });
    expect(ask({ capacity: {}, usage: {} }, {})).toMatchObject({ ok: true, instances: [{ resources: {} }] });
  });

  test('a realloc adds; what is not there any more is left out', () => {
    expect(change(node, held({ a100: 1 }), { a100: -3, t4: 1 })).toMatchObject({
      ok: true,
      resources: { gpu: { prod_count_map: { t4: 1 } } },
    });
    expect(change(node, held({ a100: 1 }), { a100: -1 })).toEqual({ ok: true, resources: {}, engineParams: {} });
    expect(change(node, held({ a100: 1 }), {})).toMatchObject({ resources: held({ a100: 1 }) });
    expect(change(node, held({ a100: 1 }), { a100: 6 })).toMatchObject({
      ok: false,
      refusal: { reason: 'free a100', needed: 7, free: 6 },
    });
  });

  test('what does not grow is never refused', () => {
    const shrunk = scheduler.setCapacity(node, { gpu: { prod_count_map: { a100: 1, t4: 2 } } }, { delta: false });
    const result = scheduler.realloc({ name: 'n', labels: {}, resources: shrunk }, held({ a100: 3 }), {
      gpu: { prod_count_map: { a100: -1, t4: 1 } },
    });
    expect(result).toMatchObject({ ok: true, resources: held({ a100: 2, t4: 1 }) });
  });

  test.each<[JsonObject, string]>([
    [{ a100: 0 }, 'invalid gpu map'],
    [{ a100: -1 }, 'invalid gpu map'],
    [{ a100: 1.5 }, 'invalid gpu map'],
    [{ a100: 'many' }, 'invalid gpu map'],
    [{ ' ': 1 }, 'invalid gpu product'],
  ])('%j is refused', (products, original) => {
    for (const act of [() => ask(node, products), () => nodeWith({ prod_count_map: products })]) {
      expect(catching(act)).toMatchObject({
        code: 'invalid',
        message: expect.stringMatching(`^gpu prod_count_map.* is not allowed; .*: ${original}$`),
      });
    }
  });

  test('differences have the original’s texts and order, and are mended', () => {
    const { lines, fixed } = scheduler.diff(used, [held({ t4: 1, a100: 2 }, 'GPU-1')]);
    expect(lines).toEqual([
      'node.GPUUsed != sum(workload.GPURequest): 01 != 03',
      't4 not in usage',
      'a100: actual(2) != usage(1)',
      'device GPU-1: actual(1) != usage(0)',
    ]);
    expect(scheduler.diff(fixed, [held({ t4: 1, a100: 2 }, 'GPU-1')]).lines).toEqual([]);
    expect(scheduler.fits(scheduler.book(used, [held({ a100: 6 })], []))).toEqual(['gpu a100: 7 used of 6']);
  });

  test('a node changes by amounts or as a whole, and has metrics', () => {
    const changed = (request: JsonObject, delta: boolean): JsonObject | undefined =>
      scheduler.setCapacity(used, { gpu: request }, { delta }).capacity['gpu'];
    expect(changed({ prod_count_map: { a100: -2, t4: -2, l4: 1 } }, true)).toEqual({
      prod_count_map: { a100: 4, l4: 1 },
    });
    expect(changed({ prod_count_map: { a100: 1 } }, false)).toEqual({ prod_count_map: { a100: 1 } });
    expect(changed({}, false)).toEqual(used.capacity['gpu']);
    expect(() => changed({ prod_count_map: { t4: 1 } }, false)).toThrow('a100: 1 used of 0');
    expect(() => changed({ prod_count_map: { t4: -3 } }, true)).toThrow('invalid gpu map');
    expect(scheduler.metrics('p', 'n.1', used).map(({ key, value }) => `${key}=${value}`)).toEqual([
      'core.node.n_1.gpu.a100=6',
      'core.node.n_1.gpu.a100.used=1',
      'core.node.n_1.gpu.t4=2',
      'core.node.n_1.gpu.t4.used=0',
    ]);
  });

  test('a new node has what its engine tells, or none', () => {
    const told = { prod_count_map: { t4: 1 } };
    expect(scheduler.addNode({}, { ...machine, resources: { gpu: told } }).capacity['gpu']).toEqual(told);
    expect(scheduler.addNode({}, machine)).toEqual({
      capacity: { gpu: { prod_count_map: {} } },
      usage: { gpu: { prod_count_map: {} } },
    });
  });
});

describe('devices', () => {
  const devices = {
    'GPU-a': { product: 'a100', numa: '0' },
    'GPU-b': { product: 'a100', numa: 1 },
    'GPU-c': { model: 'a100', numa: '1' },
    'GPU-d': { product: 'a100', numa: '1' },
    'GPU-t': { product: 't4', numa: '0' },
  };
  const node = nodeWith({ prod_count_map: { l4: 3 }, devices });
  const got = (result: PlanResult | ReallocResult): unknown => {
    if (!result.ok) return result;
    const instances = 'instances' in result ? result.instances : [result];
    for (const { resources, engineParams } of instances) expect(engineParams).toEqual(resources);
    return instances.map(({ resources }) => ((resources['gpu']?.['devices'] ?? []) as string[]).join(' '));
  };

  test('are counted by product', () => {
    expect(node.capacity['gpu']).toMatchObject({ prod_count_map: { a100: 4, l4: 3, t4: 1 } });
    expect(node.capacity['gpu']?.['devices']).toMatchObject({ 'GPU-c': { product: 'a100', numa: '1' } });
  });

  test.each<[string, JsonObject, number, string[]]>([
    ['the NUMA node with the least to give', { a100: 1 }, 1, ['GPU-a']],
    ['one NUMA node that has them all', { a100: 2 }, 1, ['GPU-b GPU-c']],
    ['also of several products', { a100: 1, t4: 1 }, 1, ['GPU-a GPU-t']],
    ['else as few as can be', { a100: 4 }, 1, ['GPU-a GPU-b GPU-c GPU-d']],
    ['each instance its own', { a100: 1 }, 4, ['GPU-a', 'GPU-b', 'GPU-c', 'GPU-d']],
    ['where they have no names, counts are enough', { l4: 3 }, 1, ['']],
  ])('%s: %j', (_rule, products, count, expected) => {
    expect(got(ask(node, products, count))).toEqual(expected);
  });

  test('in use are not given again', () => {
    const used = scheduler.book(node, [held({ a100: 2 }, 'GPU-b', 'GPU-a')], []);
    expect(used.usage['gpu']).toEqual({ prod_count_map: { a100: 2 }, devices: { 'GPU-a': 1, 'GPU-b': 1 } });
    expect(got(ask(used, { a100: 2 }))).toEqual(['GPU-c GPU-d']);
    expect(ask(used, { a100: 3 })).toMatchObject({ ok: false, refused: [{ reason: 'free a100', needed: 3, free: 2 }] });
    expect(scheduler.fits(scheduler.book(used, [held({ a100: 1 }, 'GPU-a')], []))).toEqual([
      'gpu device GPU-a: 2 used of 1',
    ]);
    expect(() => scheduler.setCapacity(used, { gpu: { devices: { 'GPU-a': null } } }, { delta: true })).toThrow(
      'device GPU-a: 1 used of 0',
    );
  });

  test('that got their names late: those who are placed by count hold some of them', () => {
    const late = scheduler.book(node, [held({ a100: 3 })], []);
    expect(ask(late, { a100: 2 })).toMatchObject({ ok: false, refused: [{ free: 1 }] });
    expect(got(change(node, held({ a100: 3 }), {}))).toEqual(['']);
  });

  test.each<[string, string[], JsonObject, string[]]>([
    ['growing keeps them and stays near', ['GPU-b'], { a100: 1 }, ['GPU-b GPU-c']],
    ['a second product comes near too', ['GPU-a'], { t4: 1 }, ['GPU-a GPU-t']],
    ['shrinking keeps those of one NUMA node', ['GPU-a', 'GPU-b', 'GPU-c'], { a100: -1 }, ['GPU-b GPU-c']],
    ['nothing changed is as it was', ['GPU-a', 'GPU-c'], {}, ['GPU-a GPU-c']],
  ])('%s', (_rule, current, delta, expected) => {
    expect(got(change(node, held({ a100: current.length }, ...current), delta))).toEqual(expected);
  });

  test('come and go one by one', () => {
    const after = (request: JsonObject, delta: boolean): JsonObject | undefined =>
      scheduler.setCapacity(node, { gpu: request }, { delta }).capacity['gpu'];
    const one = { 'GPU-t': null, 'GPU-e': { product: 'a100' } };
    expect(after({ devices: one }, true)).toMatchObject({ prod_count_map: { a100: 5, l4: 3 } });
    expect(after({ devices: one }, false)).toMatchObject({ prod_count_map: { a100: 5, l4: 3 } });
    expect(after({ prod_count_map: { a100: 1 }, devices: { 'GPU-e': { product: 'a100' } } }, true)).toMatchObject({
      prod_count_map: { a100: 5 },
    });
    expect(() => after({ prod_count_map: { a100: 9 } }, false)).toThrow('4 devices of this product are named');
    for (const wrong of [{ x: {} }, { x: { product: ' ' } }, { '': { product: 'a100' } }, { x: 'a100' }])
      expect(() => after({ devices: wrong }, false)).toThrow('invalid gpu product');
    expect(() => after({ devices: ['x'] }, false)).toThrow('invalid gpu map');
  });

  const product = fc.constantFrom('a100', 't4');
  const machines = fc.dictionary(
    fc.constantFrom('1', '2', '3', '4', '5', '6', '7', '8'),
    fc.record({ product, numa: fc.constantFrom('', '0', '1') }),
    { minKeys: 1 },
  );
  const counts = fc.dictionary(product, fc.integer({ min: 1, max: 3 }), { minKeys: 1 });
  const delta = fc.dictionary(product, fc.integer({ min: -3, max: 3 }));

  test('are never given twice, fit one NUMA node if they can, and leave no trace; a realloc moves none', () => {
    let changed = 0;
    fc.assert(
      fc.property(machines, counts, fc.integer({ min: 1, max: 4 }), delta, (devices, wanted, count, delta) => {
        const node = nodeWith({ devices });
        const plan = ask(node, wanted, count);
        if (!plan.ok) return;
        const all = plan.instances.map(({ resources }) => resources);
        const booked = scheduler.book(node, all, []);
        expect(scheduler.fits(booked)).toEqual([]);
        expect(scheduler.book(booked, [], all.toReversed())).toEqual(node);
        const [first = {}, ...others] = all;
        const numas = (ids: string[]): Set<unknown> => new Set(ids.map((id) => devices[id]?.numa));
        const onOne = ['', '0', '1'].some((numa) =>
          Object.entries(wanted).every(
            ([product, n]) =>
              Object.values(devices).filter((d) => d.product === product && d.numa === numa).length >= n,
          ),
        );
        const ids = first['gpu']?.['devices'] as string[];
        if (onOne) expect(numas(ids).size).toBe(1);

        const base = scheduler.book(node, others, []);
        const result = change(base, first, delta);
        if (!result.ok) return;
        changed += 1;
        const larger = scheduler.maxUsage(first, result.resources);
        const between = scheduler.book(booked, [larger], [first]);
        const after = scheduler.book(base, [result.resources], []);
        expect(scheduler.fits(after)).toEqual([]);
        expect(scheduler.book(between, [result.resources], [larger])).toEqual(after);
        const now = (result.resources['gpu']?.['devices'] ?? []) as string[];
        for (const [product, n] of Object.entries((result.resources['gpu']?.['prod_count_map'] ?? {}) as object)) {
          const of = (list: string[]): string[] => list.filter((id) => devices[id]?.product === product);
          expect(of(now)).toHaveLength(n as number);
          const [more, less] = of(now).length > of(ids).length ? [of(now), of(ids)] : [of(ids), of(now)];
          for (const id of less) expect(more).toContain(id);
        }
      }),
      { seed: 20_267, numRuns: 600 },
    );
    expect(changed).toBeGreaterThan(50);
  });
});
