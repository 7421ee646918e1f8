import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { builtinKinds } from '../builtin.ts';
import { Fleet } from '../fleet/fleet.ts';
import type { Labels, PlannedNode, PlanRequest, PlanResult } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { permitted, type Placed } from './checker.suite.ts';

const scheduler = createScheduler({ kinds: builtinKinds() });

/** Room for ten of 100 bytes each. */
const empty = scheduler.addNode(undefined, { cpus: 8, memory: 1250, storage: 0, resources: {} });

function node(name: string, labels: Labels, workloads: readonly JsonObject[] = []): PlannedNode {
  const held = workloads.map((affinity) => ({ affinity, cpumem: { memory_request: 100 } }));
  return { name, labels, resources: scheduler.book(empty, held, []) };
}

function request(nodes: readonly PlannedNode[], affinity: object, given: Partial<PlanRequest> = {}): PlanRequest {
  return {
    resources: { affinity: affinity as JsonObject, cpumem: { 'memory-request': 100 } },
    strategy: 'AUTO',
    count: 1,
    nodesLimit: 0,
    candidates: nodes.map(({ name }) => name),
    counts: new Map(),
    labels: { app: 'web', entrypoint: 'main' },
    ...given,
  };
}

function fleetOf(nodes: readonly PlannedNode[]): Fleet {
  const fleet = new Fleet(scheduler);
  for (const each of nodes) fleet.set(each);
  return fleet;
}

function sharesOf(result: PlanResult): unknown {
  if (!result.ok) return [...new Set(result.refused.map(({ reason }) => reason))];
  return Object.fromEntries(result.choices.map(({ node, instances }) => [node, instances]));
}

function run(nodes: readonly PlannedNode[], affinity: JsonObject, given: Partial<PlanRequest> = {}): unknown {
  return sharesOf(scheduler.plan(fleetOf(nodes), request(nodes, affinity, given)));
}

const east = [node('e1', { zone: 'east' }), node('e2', { zone: 'east' })];
const west = [node('w1', { zone: 'west' }), node('w2', { zone: 'west' })];
const db = { labels: { app: 'db' } };

describe('required', () => {
  test('affinity: only where one of them is, in the domain or on the node', () => {
    const nodes = [...east, ...west, node('w3', { zone: 'west' }, [db])];
    const near = (topology: string): JsonObject => ({ affinity: [{ labels: { app: 'db' }, topology }] });
    expect(run(nodes, near('zone'), { count: 3 })).toEqual({ w1: 1, w2: 1, w3: 1 });
    expect(run(nodes, near('node'), { count: 2 })).toEqual({ w3: 2 });
    expect(run(east, near('zone'))).toEqual(['no workload with app=db is in its zone']);
    expect(run([node('x', {}, [db])], near('zone'))).toEqual(['no node label zone']);
  });

  test('affinity to its like: the first goes anywhere, the others follow', () => {
    const together = { affinity: [{ labels: { app: 'web' }, topology: 'zone' }] };
    expect(run([...east, ...west], together, { count: 4 })).toEqual({ e1: 2, e2: 2 });
  });

  test('anti-affinity: one for each domain, and not where another is', () => {
    const nodes = [...east, ...west, node('n1', { zone: 'north' }, [db])];
    const apart = (app: string): JsonObject => ({ 'anti-affinity': [{ labels: { app }, topology: 'zone' }] });
    expect(run(nodes, apart('web'), { count: 3 })).toEqual({ e1: 1, n1: 1, w1: 1 });
    expect(run(nodes, apart('web'), { count: 4 })).toEqual([]);
    expect(run(nodes, apart('db'), { count: 5 })).toEqual({ e1: 2, e2: 1, w1: 1, w2: 1 });
    expect(run([node('n1', { zone: 'north' }, [db])], apart('db'))).toEqual(['a workload with app=db is in its zone']);
  });

  test('those who are there keep others away in the same way', () => {
    const shy = { ...db, anti_affinity: [{ labels: { app: ['web', 'api'] }, topology: 'zone' }] };
    const nodes = [node('e1', { zone: 'east' }, [shy]), east[1] as PlannedNode, ...west];
    expect(run(nodes, {}, { count: 2 })).toEqual({ w1: 1, w2: 1 });
    expect(run(nodes.slice(0, 2), {})).toEqual(['a workload in its zone keeps this one away']);
    expect(run(nodes.slice(0, 2), {}, { labels: { app: 'cron' } })).toEqual({ e2: 1 });
  });

  test('node labels', () => {
    const nodes = [node('a', { disk: 'ssd' }), node('b', { disk: 'hdd', gpu: '' }), node('c', {})];
    const on = (term: JsonObject): unknown => run(nodes, { 'node-labels': [{ label: 'disk', ...term }] }, { count: 2 });
    expect(on({ in: ['ssd', 'nvme'] })).toEqual({ a: 2 });
    expect(on({ in: 'hdd' })).toEqual({ b: 2 });
    expect(on({ 'not-in': ['ssd'] })).toEqual({ b: 1, c: 1 });
    expect(on({ exists: true })).toEqual({ a: 1, b: 1 });
    expect(on({ exists: false })).toEqual({ c: 2 });
    expect(on({ in: ['tape'] })).toEqual(['node label disk is not tape']);
  });

  test('spread: no zone is ahead of another by more than the skew', () => {
    const over = (skew: number): JsonObject => ({ spread: [{ topology: 'zone', 'max-skew': skew }] });
    const nodes = [...east, west[0] as PlannedNode, node('x', {})];
    expect(run(nodes, over(1), { count: 6 })).toEqual({ e1: 2, e2: 1, w1: 3 });
    expect(run(nodes, over(1), { count: 22 })).toEqual(['no node label zone']);
    // West is full with ten; east may have two more than that.
    expect(run(nodes, over(2), { count: 22 })).toEqual({ e1: 6, e2: 6, w1: 10 });
    // What its like have there already counts.
    const web = { labels: { app: 'web', entrypoint: 'main' } };
    expect(run([node('e1', { zone: 'east' }, [web, web]), ...west], over(1), { count: 3 })).toEqual({
      e1: 1,
      w1: 1,
      w2: 1,
    });
  });

  test('exclusive: nobody else on the node, or only its like', () => {
    const web = { labels: { app: 'web', entrypoint: 'main' } };
    const nodes = [node('a', {}, [db]), node('b', {}, [web]), node('c', {}), node('d', {})];
    expect(run(nodes, { exclusive: 'alone' }, { count: 2 })).toEqual({ c: 1, d: 1 });
    expect(run(nodes, { exclusive: 'alone' }, { count: 3 })).toEqual([
      'other workloads are on the node, which is wanted exclusively',
    ]);
    expect(run(nodes, { exclusive: 'alike' }, { count: 6 })).toEqual({ b: 2, c: 2, d: 2 });
    const alike = { ...web, exclusive: 'alike' };
    expect(run([node('a', {}, [alike])], {}, { count: 2 })).toEqual({ a: 2 });
    expect(run([node('a', {}, [alike])], {}, { labels: { app: 'db' } })).toEqual([
      'a workload on the node keeps this one away',
    ]);
  });
});

describe('preferred: the points decide before the strategy, and nothing is refused', () => {
  test('company', () => {
    const nodes = [...east, node('w1', { zone: 'west' }, [db])];
    const term = { labels: { app: 'db' }, topology: 'zone', weight: 10 };
    expect(run(nodes, { affinity: [term] }, { count: 3 })).toEqual({ w1: 3 });
    expect(run(nodes, { affinity: [term] }, { count: 11 })).toEqual({ e1: 1, e2: 1, w1: 9 });
    expect(run(nodes, { 'anti-affinity': [term] }, { count: 3 })).toEqual({ e1: 2, e2: 1 });
    // Not where one of its own is, as long as there is another.
    const apart = { labels: { app: 'web' }, topology: 'node', weight: 1 };
    expect(run(nodes, { 'anti-affinity': [apart] }, { strategy: 'DRAINED', count: 3 })).toEqual({
      e1: 1,
      e2: 1,
      w1: 1,
    });
  });

  test('node labels add up', () => {
    const nodes = [node('a', { disk: 'ssd' }), node('b', { disk: 'ssd', arch: 'arm' }), node('c', { arch: 'arm' })];
    const terms = [
      { label: 'disk', in: 'ssd', weight: 2 },
      { label: 'arch', exists: true, weight: 3 },
    ];
    const result = scheduler.plan(fleetOf(nodes), request(nodes, { 'node-labels': terms }, { count: 12 }));
    expect(sharesOf(result)).toEqual({ b: 10, c: 2 });
    expect(result.ok && result.choices.map(({ preference }) => preference)).toEqual([5, 3]);
  });

  test('spread', () => {
    const nodes = [
      ...east,
      node(
        'w1',
        { zone: 'west' },
        Array.from({ length: 8 }, () => db),
      ),
      node('x', {}),
    ];
    const even = { spread: [{ topology: 'zone', 'max-skew': 1, weight: 1 }] };
    expect(run(nodes, even, { count: 4 })).toEqual({ e1: 1, e2: 1, w1: 2 });
    // West is full: evenness is given up, and the node without a zone comes last.
    expect(run(nodes, even, { count: 23 })).toEqual({ e1: 10, e2: 10, w1: 2, x: 1 });
  });
});

test('a booking holds the labels and what binds others; the usage counts equal ones', () => {
  const nodes = [node('a', {})];
  const affinity = {
    'anti-affinity': [{ labels: { app: 'web' }, weight: 5 }, { labels: { app: 'db' } }],
    exclusive: 'alike',
  };
  const result = scheduler.plan(fleetOf(nodes), request(nodes, affinity, { count: 2 }));
  if (!result.ok) throw new Error(result.message);
  const booking = {
    labels: { app: 'web', entrypoint: 'main' },
    anti_affinity: [{ labels: { app: ['db'] }, topology: 'node' }],
    exclusive: 'alike',
  };
  const held = result.instances.map(({ resources }) => resources);
  expect(held[0]?.['affinity']).toEqual(booking);
  const booked = scheduler.book(empty, held, []);
  expect(booked.usage['affinity']).toEqual({ workloads: [{ ...booking, count: 2 }] });
  expect(scheduler.diff(booked, held).lines).toEqual([]);
  expect(scheduler.diff(booked, held.slice(1)).lines).toEqual(
    expect.arrayContaining([expect.stringMatching(/^node\.Affinity\[.*: 2 != 1$/)]),
  );
  expect(scheduler.book(booked, [], held)).toEqual(empty);
});

test.each([
  [{ affinity: { labels: {} } }, 'affinity affinity: {"labels":{}} is not allowed; write a list of terms'],
  [{ affinity: [{ labels: {} }] }, 'affinity affinity[0].labels: {} is not allowed; write the labels of the workloads'],
  [
    { affinity: [{ label: 'x' }] },
    'affinity affinity[0].label: "x" is not allowed; a term has labels, topology, weight',
  ],
  [
    { 'anti-affinity': [{ labels: { a: 'b' }, weight: 0 }] },
    'anti-affinity[0].weight: 0 is not allowed; write 1 to 100',
  ],
  [{ 'node-labels': [{ label: 'x' }] }, 'node-labels[0]: {"label":"x"} is not allowed; write one of in'],
  [{ spread: [{ topology: 'zone', 'max-skew': 0.5 }] }, 'spread[0].max-skew: 0.5 is not allowed; write a whole number'],
  [{ spread: [{}] }, 'spread[0].topology: nothing is not allowed; write node, or a label of nodes such as zone'],
  [{ exclusive: 'maybe' }, 'exclusive: "maybe" is not allowed; write alone (or true), or alike'],
  [{ labels: { a: [] } }, 'labels.a: [] is not allowed; write text'],
] satisfies [JsonObject, string][])('%j is refused', (affinity, message) => {
  expect(() => scheduler.validate({ affinity })).toThrow(message);
});

function gone(fleet: Fleet, now: readonly PlannedNode[]): string[] {
  const names = new Set(now.map(({ name }) => name));
  return fleet.nodes.flatMap((node) => (node === undefined || names.has(node.name) ? [] : [node.name]));
}

describe('against a checker that knows nothing but the rules', () => {
  const label = fc.constantFrom('web', 'db');
  const topology = fc.constantFrom('node', 'zone', 'rack');
  const labels = fc.record({ app: label }, { requiredKeys: [] });
  const terms = fc.array(fc.record({ labels: fc.record({ app: fc.uniqueArray(label, { minLength: 1 }) }), topology }), {
    maxLength: 1,
  });
  const existing = fc.record(
    { labels, anti_affinity: terms, exclusive: fc.constantFrom('alone', 'alike') },
    { requiredKeys: ['labels'] },
  );
  const nodes = fc
    .array(
      fc.tuple(
        fc.record({ zone: fc.constantFrom('a', 'b'), rack: fc.constantFrom('1', '2', '3') }, { requiredKeys: [] }),
        fc.array(existing, { maxLength: 2 }),
      ),
      { minLength: 1, maxLength: 6 },
    )
    .map((list) => list.map(([labels, workloads], index) => node(`n${index}`, labels, workloads)));
  const affinity = fc.record(
    {
      affinity: terms,
      'anti-affinity': terms,
      'node-labels': fc.constantFrom([], [{ label: 'zone', in: ['a'] }], [{ label: 'rack', exists: false }]),
      spread: fc.array(fc.record({ topology, 'max-skew': fc.constantFrom(1, 2) }), { maxLength: 1 }),
      exclusive: fc.constantFrom('alone', 'alike'),
    },
    { requiredKeys: [] },
  );
  const weights = fc.array(fc.record({ labels: fc.constant({ app: 'web' }), topology, weight: fc.constant(3) }), {
    maxLength: 1,
  });
  const seeded = { seed: 20_265, numRuns: 700 };

  test('there is room for one exactly where one may be', () => {
    fc.assert(
      fc.property(nodes, affinity, labels, (nodes, affinity, labels) => {
        const { capacity } = scheduler.capacity(fleetOf(nodes), request(nodes, affinity, { labels }));
        const placed: Placed[] = [];
        const allowed = nodes.filter(({ name }) => permitted(nodes, placed, { affinity, labels, node: name }));
        expect(capacity.nodes.map(({ node }) => node)).toEqual(allowed.map(({ name }) => name));
      }),
      seeded,
    );
  });

  test('every plan could have been made instance by instance, in some order', () => {
    let planned = 0;
    const strategy = fc.constantFrom('AUTO', 'GLOBAL', 'DRAINED', 'EACH', 'FILL');
    const asked = fc.record({ strategy, count: fc.integer({ min: 1, max: 4 }), nodesLimit: fc.nat(2), labels });
    fc.assert(
      fc.property(nodes, affinity, weights, asked, (nodes, affinity, weights, asked) => {
        const wanted = { ...affinity, affinity: [...(affinity.affinity ?? []), ...weights] };
        const result = scheduler.plan(fleetOf(nodes), request(nodes, wanted, asked));
        const reversed = nodes.toReversed();
        expect(scheduler.plan(fleetOf(reversed), request(reversed, wanted, asked))).toEqual(result);
        if (!result.ok) return;
        planned += 1;
        const left = result.instances.map(({ node }) => node);
        const placed: Placed[] = [];
        while (left.length > 0) {
          const next = left.findIndex((node) => permitted(nodes, placed, { affinity, labels: asked.labels, node }));
          expect(next).toBeGreaterThanOrEqual(0);
          placed.push({ labels: asked.labels, affinity, node: left.splice(next, 1)[0] ?? '' });
        }
      }),
      seeded,
    );
    expect(planned).toBeGreaterThan(90);
  });

  test('what is known of a fleet after many changes is what a fresh one knows', () => {
    fc.assert(
      fc.property(fc.array(nodes, { minLength: 2, maxLength: 4 }), affinity, labels, (stages, affinity, labels) => {
        const fleet = new Fleet(scheduler);
        for (const nodes of stages) {
          for (const name of gone(fleet, nodes)) fleet.delete(name);
          for (const each of nodes) fleet.set(each);
          const asked = request(nodes, affinity, { labels, count: 3 });
          expect(scheduler.plan(fleet, asked)).toEqual(scheduler.plan(fleetOf(nodes), asked));
        }
      }),
      { ...seeded, numRuns: 200 },
    );
  });
});
