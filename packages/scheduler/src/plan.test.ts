import { seededRandom } from '@eru/kit';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { builtinKinds } from './builtin.ts';
import { Counts } from './fleet/counts.ts';
import { withAllotments } from './external/allotments.ts';
import { externalKind, type ExternalAnswer } from './external/kind.ts';
import { cpumem } from './cpumem/kind.ts';
import { Fleet } from './fleet/fleet.ts';
import { tiesOf } from './fleet/ties.ts';
import type { Allotment, Census, Follower, KindDefinition, ResourceKind } from './kind.ts';
import type { Asked, Choice, Labels, PlannedNode, PlanRequest, PlanResult, SpreadResult } from './model.ts';
import { createScheduler } from './scheduler.ts';
import type { Steps } from './steps.ts';

const scheduler = createScheduler({ kinds: builtinKinds() });
const machine = { cpus: 8, memory: 1250, storage: 0, resources: {} };

const empty = scheduler.addNode(undefined, machine);

function node(name: string, memoryUsed = 0, labels: Record<string, string> = {}): PlannedNode {
  return {
    name,
    labels,
    resources: scheduler.book(empty, [{ cpumem: { cpu_request: 1, memory_request: memoryUsed } }], []),
  };
}

function fleetOf(nodes: readonly PlannedNode[], on = scheduler): Fleet {
  const fleet = new Fleet(on);
  for (const node of nodes) fleet.set(node);
  return fleet;
}

function request(fleet: readonly PlannedNode[], given: Partial<PlanRequest> = {}): PlanRequest {
  return {
    resources: { cpumem: { 'cpu-request': 2, 'memory-request': 100 } },
    strategy: 'AUTO',
    count: 1,
    nodesLimit: 0,
    candidates: fleet.map(({ name }) => name),
    counts: new Map(),
    ...given,
  };
}

test('a plan names the nodes in order, with what is booked and what the engine gets', () => {
  const nodes = [node('b'), node('a', 250)];
  expect(scheduler.plan(fleetOf(nodes), request(nodes, { count: 2 }))).toEqual({
    ok: true,
    nodes: [nodes[1], nodes[0]],
    followed: false,
    choices: [
      { node: 'a', instances: 1, count: 0, capacity: 7, usage: 0.083333333, rate: 0.033333333, preference: 0 },
      { node: 'b', instances: 1, count: 0, capacity: 10, usage: 0, rate: 0.033333333, preference: 0 },
    ],
    instances: ['a', 'b'].map((node) => ({
      node,
      resources: {
        cpumem: {
          cpu_request: 2,
          cpu_limit: 0,
          memory_request: 100,
          memory_limit: 0,
          cpu_map: null,
          numa_memory: null,
          numa_node: '',
        },
        affinity: { labels: {} },
      },
      engineParams: { affinity: {}, cpumem: { cpu: 0, cpu_map: null, numa_node: '', memory: 0, remap: false } },
    })),
  });
});

test('a refusal says per node what is missing, and by how much', () => {
  const nodes = [node('a', 950), node('b', 250)];
  expect(scheduler.plan(fleetOf(nodes), request(nodes, { count: 8 }))).toEqual({
    ok: false,
    identity: 'resource',
    message: 'need: 8, available: 7: cannot alloc a plan, not enough resource',
    capacity: { total: 7, nodes: [{ node: 'b', count: 7 }] },
    refused: [{ node: 'a', kind: 'cpumem', reason: 'free memory', needed: 100, free: 50, unit: 'bytes' }],
  });
  const { refused } = scheduler.capacity(fleetOf(nodes), {
    ...request(nodes),
    resources: { cpumem: { 'cpu-request': 9 } },
  });
  expect(refused.map(({ reason, needed, free }) => ({ reason, needed, free }))).toEqual([
    { reason: 'cores', needed: 9, free: 8 },
    { reason: 'cores', needed: 9, free: 8 },
  ]);
});

test('without a memory request a node takes any number', () => {
  const nodes = [node('a', 250), node('b')];
  const fleet = fleetOf(nodes);
  expect(scheduler.capacity(fleet, { resources: {}, candidates: ['a'] }).capacity).toEqual({
    total: Infinity,
    nodes: [{ node: 'a', count: Infinity }],
  });
  expect(placed(scheduler.plan(fleet, request(nodes, { resources: {}, count: 5 })))).toEqual({ a: 3, b: 2 });
});

test('bad input is refused before anything is planned', () => {
  const nodes = [node('a')];
  const fleet = fleetOf(nodes);
  expect(scheduler.plan(fleet, request(nodes, { strategy: 'DUMMY' }))).toMatchObject({
    ok: false,
    message: 'deploy method not support yet',
  });
  expect(scheduler.plan(fleet, request(nodes, { count: 0 }))).toMatchObject({
    identity: 'count',
    message: 'count: 0: invalid deploy count',
  });
  expect(() => scheduler.plan(fleet, request(nodes, { candidates: ['a', 'x'] }))).toThrow('node x is not in the fleet');
});

test('a fleet forgets a node that is deleted, and reuses nothing of it', () => {
  const nodes = [node('a'), node('b')];
  const fleet = fleetOf(nodes);
  const both = request(nodes, { count: 2 });
  expect(placed(scheduler.plan(fleet, both))).toEqual({ a: 1, b: 1 });
  fleet.delete('a');
  fleet.set(node('c', 900));
  expect(fleet.get('a')).toBeUndefined();
  expect(() => scheduler.plan(fleet, both)).toThrow('node a is not in the fleet');
  expect(placed(scheduler.plan(fleet, { ...both, candidates: ['c', 'b', 'c'], count: 10 }))).toEqual({ b: 9, c: 1 });
});

const usages = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 8 });
const strategy = fc.constantFrom('AUTO', 'FILL', 'EACH', 'GLOBAL', 'DRAINED');
const asked = fc.record({
  strategy,
  count: fc.integer({ min: 1, max: 12 }),
  nodesLimit: fc.integer({ min: 0, max: 4 }),
  resources: fc
    .record({ 'cpu-request': fc.integer({ min: 0, max: 9 }), 'memory-request': fc.integer({ min: 0, max: 400 }) })
    .map((cpumem) => ({ cpumem })),
});
const seeded = { seed: 20_262, numRuns: 500 };

test('no plan exceeds a node, and booking it and giving it back changes nothing', () => {
  let planned = 0;
  fc.assert(
    fc.property(usages, asked, (usages, asked) => {
      const nodes = usages.map((used, index) => node(`n${index}`, used));
      const result = scheduler.plan(fleetOf(nodes), request(nodes, asked));
      if (!result.ok) return;
      planned += 1;
      for (const { name, resources } of nodes) {
        const got = result.instances.filter((instance) => instance.node === name).map(({ resources }) => resources);
        const booked = scheduler.book(resources, got, []);
        expect(scheduler.fits(booked)).toEqual([]);
        expect(scheduler.book(booked, [], got.toReversed())).toEqual(resources);
      }
    }),
    seeded,
  );
  expect(planned).toBeGreaterThan(100);
});

test('the order of nodes and candidates does not matter', () => {
  const shuffled = usages.chain((usages) => {
    const nodes = usages.map((used, index) => node(`n${index}`, used));
    const all = fc.shuffledSubarray(nodes, { minLength: nodes.length });
    return fc.tuple(fc.constant(nodes), all, all);
  });
  fc.assert(
    fc.property(shuffled, asked, ([nodes, added, candidates], asked) => {
      expect(scheduler.plan(fleetOf(added), request(candidates, asked))).toEqual(
        scheduler.plan(fleetOf(nodes), request(nodes, asked)),
      );
    }),
    seeded,
  );
});

test('with a seed a plan is what it is by name under other names, in whatever order nodes and candidates come', () => {
  // Few kinds of nodes, so that many are alike.
  const kinds = fc.tuple(fc.constantFrom(0, 250, 600), fc.constantFrom('x', 'y'));
  const shuffled = fc.array(kinds, { minLength: 1, maxLength: 8 }).chain((kinds) => {
    const nodes = kinds.map(([used, zone], index) => node(`n${index}`, used, { zone }));
    const all = fc.shuffledSubarray(nodes, { minLength: nodes.length });
    return fc.tuple(fc.constant(nodes), all, all);
  });
  const affinity = { labels: { app: 'a' }, spread: [{ topology: 'zone', 'max-skew': 1 }] };
  const seeds = ['a', 'b', ''];
  let others = 0;
  fc.assert(
    fc.property(shuffled, asked, fc.boolean(), ([nodes, added, candidates], asked, followed) => {
      const resources = { ...asked.resources, ...(followed && { affinity }) };
      // All on one fleet: what is remembered of one seed's plans must not get into another's.
      const fleet = fleetOf(added);
      const plans = seeds.map((seed) => scheduler.plan(fleet, request(candidates, { ...asked, resources, seed })));
      for (const [index, seed] of seeds.entries()) {
        const order = nodes.toSorted((a, b) => tieOf(a, seed) - tieOf(b, seed) || (a.name < b.name ? -1 : 1));
        const names = new Map(order.map(({ name }, place) => [`n${place}`, name]));
        const renamed = order.map((node, place) => ({ ...node, name: `n${place}` }));
        const byName = scheduler.plan(fleetOf(renamed), request(renamed, { ...asked, resources }));
        expect(plans[index]).toEqual(calledAgain(byName, names));
        expect(scheduler.plan(fleet, request(nodes, { ...asked, resources, seed }))).toEqual(plans[index]);
      }
      if (JSON.stringify(plans[0]) !== JSON.stringify(plans[1])) others += 1;
    }),
    { ...seeded, numRuns: 200 },
  );
  expect(others).toBeGreaterThan(20);
});

function tieOf({ name }: PlannedNode, seed: string): number {
  return tiesOf([name], seed)[0] as number;
}

/** The plan with its nodes under these names, in the order of these. */
function calledAgain(plan: PlanResult, names: ReadonlyMap<string, string>): PlanResult {
  const again = <Named extends { readonly node: string }>(list: readonly Named[]): Named[] =>
    list
      .map((one) => ({ ...one, node: names.get(one.node) as string }))
      .toSorted((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0));
  if (!plan.ok) {
    const { total, nodes } = plan.capacity;
    return { ...plan, capacity: { total, nodes: again(nodes) }, refused: again(plan.refused) };
  }
  const nodes = plan.nodes.map((node) => ({ ...node, name: names.get(node.name) as string }));
  return {
    ...plan,
    instances: again(plan.instances),
    choices: again(plan.choices),
    nodes: nodes.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

test('two planners side by side, each with a seed, hardly ever want the same of a thousand equal nodes', () => {
  const random = seededRandom(20_263);
  const names = Array.from({ length: 1000 }, (_, index) => `n${String(index).padStart(4, '0')}`);
  for (let pair = 0; pair < 60; pair += 1) {
    const orders = [0, 1].map(() => {
      const ties = tiesOf(names, random.hex(16));
      return [...names.keys()].sort((a, b) => (ties[a] as number) - (ties[b] as number));
    });
    const left = new Set(names.keys());
    let same = 0;
    while (left.size > 40) {
      const [one, other] = orders.map((order) => order.find((position) => left.has(position)) as number);
      if (one === other) same += 1;
      for (const taken of [one, other]) left.delete(taken as number);
    }
    // By chance 1.6 of 480.
    expect(same).toBeLessThan(12);
  }
});

test('capacity is the largest count for which a plan succeeds on the node', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 1, max: 400 }), (used, memory) => {
      const nodes = [node('a', used)];
      const fleet = fleetOf(nodes);
      const resources = { cpumem: { 'memory-request': memory } };
      const { total } = scheduler.capacity(fleet, request(nodes, { resources })).capacity;
      const fits = (count: number): boolean => scheduler.plan(fleet, request(nodes, { resources, count })).ok;
      expect(total === 0 || fits(total)).toBe(true);
      expect(fits(total + 1)).toBe(false);
    }),
    seeded,
  );
});

test('remembered answers are those of a fresh fleet, whatever changed in between', () => {
  const change = fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: -1, max: 1000 }));
  fc.assert(
    fc.property(fc.array(fc.tuple(change, asked), { minLength: 2, maxLength: 12 }), (steps) => {
      const now = new Map(['n0', 'n1'].map((name) => [name, node(name)]));
      const fleet = fleetOf([...now.values()]);
      const counts = new Counts();
      let candidates = [...now.keys()];
      for (const [[index, used], asked] of steps) {
        const name = `n${index}`;
        const known = now.has(name);
        if (used < 0 && now.size > 1) {
          now.delete(name);
          fleet.delete(name);
        } else {
          now.set(name, node(name, used));
          fleet.set(node(name, used));
        }
        if (known !== now.has(name)) candidates = [...now.keys()];
        if (used % 3 === 0) counts.delete(name);
        else counts.set(name, index);
        // The same array and an equal one are both recognised; the same counts are read by their changes.
        const plan = request([], {
          ...asked,
          candidates: used % 2 === 0 ? candidates : candidates.toReversed(),
          counts,
        });
        const plain = { ...plan, counts: new Map(counts) };
        expect(scheduler.plan(fleet, plan)).toEqual(scheduler.plan(fleetOf([...now.values()]), plain));
        if (used % 5 === 0) expect(scheduler.plan(fleet, plain)).toEqual(scheduler.plan(fleet, plan));
      }
    }),
    seeded,
  );
});

test('a fleet that changes between the steps of a plan does it no harm', () => {
  const change = fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: -1, max: 1000 }));
  fc.assert(
    fc.property(usages, asked, fc.array(fc.tuple(change, asked), { maxLength: 12 }), (usages, asked, changes) => {
      const nodes = usages.map((used, index) => node(`n${index}`, used));
      const fleet = fleetOf(nodes);
      const steps = scheduler.planInSteps(fleet, request(nodes, asked));
      const others = changes.map(([[index, used], other]) => {
        const name = `n${index}`;
        return () => {
          if (used < 0) fleet.delete(name);
          else fleet.set(node(name, used));
          const candidates = [...fleet.nodes].flatMap((node) => node ?? []);
          scheduler.plan(fleet, request(candidates, other));
          scheduler.plan(fleet, request(candidates, asked));
        };
      });
      let step = steps.next();
      for (; step.done !== true; step = steps.next()) others.pop()?.();
      const result = step.value;
      if (!result.ok) return;
      expect(result.nodes.map(({ name }) => name)).toEqual([...new Set(result.instances.map(({ node }) => node))]);
      for (const { name, resources } of result.nodes) {
        const got = result.instances.filter((instance) => instance.node === name).map(({ resources }) => resources);
        expect(scheduler.fits(scheduler.book(resources, got, []))).toEqual([]);
      }
    }),
    seeded,
  );
});

test('a plan that affinity follows is not harmed either', () => {
  const affinity = { labels: { app: 'a' }, spread: [{ topology: 'zone', 'max-skew': 2 }], exclusive: 'alike' };
  const zoned = (index: number, used: number): PlannedNode => ({
    ...node(`n${index}`, used),
    labels: { zone: `z${(index + used) % 3}` },
  });
  const change = fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: -1, max: 1000 }));
  fc.assert(
    fc.property(
      usages,
      fc.integer({ min: 1, max: 9 }),
      fc.array(change, { maxLength: 40 }),
      (usages, count, changes) => {
        const nodes = usages.map((used, index) => zoned(index, used));
        const fleet = fleetOf(nodes);
        const ask = request(nodes, { count, resources: { cpumem: { 'memory-request': 300 }, affinity } });
        const steps = scheduler.planInSteps(fleet, ask);
        let step = steps.next();
        for (; step.done !== true; step = steps.next()) {
          const [index, used] = changes.pop() ?? [];
          if (index === undefined || used === undefined) continue;
          if (used < 0) fleet.delete(`n${index}`);
          else fleet.set(zoned(index, used));
        }
        const result = step.value;
        if (!result.ok) return;
        expect(result.instances).toHaveLength(count);
        for (const { name, resources } of result.nodes) {
          const got = result.instances.filter((instance) => instance.node === name).map(({ resources }) => resources);
          expect(scheduler.fits(scheduler.book(resources, got, []))).toEqual([]);
        }
      },
    ),
    seeded,
  );
});

test('no step is long: neither of a first plan, nor of a large one, nor of one that is refused', () => {
  const size = 6000;
  const nodes = Array.from({ length: size }, (_, index) => node(`n${index}`, 500));
  const fleet = fleetOf(nodes);
  // Every look at a node or an instance is a thing; some of them are looked at again and again, in another way.
  const stepsOf = (asked: Parameters<typeof request>[1]): number => {
    let steps = 0;
    for (const each of { [Symbol.iterator]: () => scheduler.planInSteps(fleet, request(nodes, asked)) }) {
      expect(each).toBeUndefined();
      steps += 1;
    }
    return steps;
  };
  const resources = { cpumem: { 'memory-request': 1 } };
  expect(stepsOf({ count: 1, resources })).toBeGreaterThanOrEqual((2 * size) / 1024);
  expect(stepsOf({ count: 1, strategy: 'EACH', resources })).toBeGreaterThanOrEqual(size);
  expect(stepsOf({ count: 5000, strategy: 'GLOBAL', resources })).toBeGreaterThanOrEqual(5000);
  expect(stepsOf({ count: 1, resources: { cpumem: { 'memory-request': 900 } } })).toBeGreaterThanOrEqual(size / 1024);
  const spreadSteps = (count: number): number =>
    [...{ [Symbol.iterator]: () => scheduler.spreadInSteps(fleet, request(nodes, { count, resources })) }].length;
  expect(spreadSteps(5000) - spreadSteps(100)).toBeGreaterThanOrEqual((3 * 5000) / 1024);
  const { instances } = scheduler.plan(fleet, request(nodes, { count: 1, strategy: 'EACH', resources })) as Extract<
    PlanResult,
    { ok: true }
  >;
  expect(instances.map((instance) => instance.node)).toEqual(nodes.map(({ name }) => name).toSorted());
});

// Kinds of tomorrow, in small: the interface must carry them as it is.

/** What every kind has that nothing is asked of: an external kind and affinity override what they need. */
const inert: Omit<ResourceKind, 'name'> = {
  requestKeys: [],
  parse: (raw) => raw,
  normal: () => ({}),
  state: () => undefined,
  measure: (_state, _request, measure) => Object.assign(measure, { count: Infinity, usage: 0, rate: 0, weight: 1 }),
  refuse: () => ({ reason: 'nothing', needed: 0, free: 0, unit: 'number' }),
  allocate: (_state, _request, count) => Array.from({ length: count }, () => ({ resources: {}, engineParams: {} })),
  realloc: () => ({ resources: {}, engineParams: {} }),
  remap: () => new Map(),
  book: (usage) => usage,
  recount: ({ usage }) => usage,
  differences: () => [],
  larger: (a) => a,
  overruns: () => [],
  addNode: () => ({ capacity: {}, usage: {} }),
  setCapacity: (node) => node,
  metricDescriptions: [],
  metrics: () => [],
};

/** An external kind: its process has answered before planning, and the answers come as data. */
const licences = externalKind('licences');

function licenceAnswer(free: Readonly<Record<string, number>>): Asked {
  const capacities = new Map(
    Object.entries(free).map(([node, count]) => [node, { count, usage: 0.5, rate: 0.1, weight: 3 }]),
  );
  return { licences: { capacities } satisfies ExternalAnswer };
}

/** Affinity in small: zones may differ by one instance, and a label prefers its nodes. */
const zones: KindDefinition = () =>
  ({
    ...inert,
    name: 'zones',
    parse: (_raw, _asked, labels = {}) => labels,
    normal: (labels) => labels,
    census(): Census<Labels> {
      const zoneOf = new Map<number, Labels>();
      return {
        set: (slot, node) => (node === undefined ? zoneOf.delete(slot) : zoneOf.set(slot, node.labels)),
        *follow(labels, { slots }): Steps<Follower | undefined> {
          if (labels['spread'] === undefined) return undefined;
          yield;
          // East and west, without and with the disk.
          const placed = [0, 0];
          const group = (slot: number): number =>
            (zoneOf.get(slot)?.['zone'] === 'east' ? 0 : 1) + (zoneOf.get(slot)?.['disk'] === labels['likes'] ? 2 : 0);
          expect([...slots].every((slot) => zoneOf.has(slot))).toBe(true);
          return {
            group,
            groupRoom: (group) => Math.min(...placed) + 1 - (placed[group % 2] ?? 0),
            preference: (group) => (group >= 2 ? 1 : 0),
            room: () => Infinity,
            refuse: () => ({ reason: 'skew', needed: 1, free: 0, unit: 'number' }),
            place(slot, count) {
              placed[group(slot) % 2] = (placed[group(slot) % 2] ?? 0) + count;
              return { groups: [0, 1, 2, 3], slots: [] };
            },
          };
        },
      };
    },
  }) satisfies ResourceKind<Labels>;

test('several kinds: capacity is the minimum, the first that refuses is named, each allots its part', () => {
  const both = createScheduler({ kinds: [...builtinKinds(), licences] });
  const nodes = [node('a', 950), node('b'), node('c'), node('d')];
  const ask = request(nodes, {
    count: 3,
    asked: licenceAnswer({ b: 2, c: 20 }),
  });
  const { capacity, refused } = both.capacity(fleetOf(nodes, both), ask);
  expect(capacity).toEqual({
    total: 12,
    nodes: [
      { node: 'b', count: 2 },
      { node: 'c', count: 10 },
    ],
  });
  expect(refused.map(({ node, reason }) => [node, reason])).toEqual([
    ['a', 'free memory'],
    ['d', 'licences capacity'],
  ]);
  const plan = both.plan(fleetOf(nodes, both), ask);
  if (!plan.ok) throw new Error(plan.message);
  // What the chosen nodes give is asked afterwards, and put in.
  const keysOf = (node: string, count: number): Allotment[] =>
    Array.from({ length: count }, (_, index) => ({ resources: { key: `${node}/${index}` }, engineParams: { index } }));
  const given = new Map([
    ['b', keysOf('b', 1)],
    ['c', keysOf('c', 2)],
  ]);
  const filled = withAllotments(plan.instances, 'licences', given);
  expect(
    filled.map(({ node, resources, engineParams }) => [node, resources['licences'], engineParams['licences']]),
  ).toEqual([
    ['b', { key: 'b/0' }, { index: 0 }],
    ['c', { key: 'c/0' }, { index: 0 }],
    ['c', { key: 'c/1' }, { index: 1 }],
  ]);
  expect(() => withAllotments(plan.instances, 'licences', new Map(given).set('c', keysOf('c', 3)))).toThrow('licences');
  expect(() => withAllotments(plan.instances, 'licences', new Map(given).set('c', keysOf('c', 1)))).toThrow('licences');
});

test('usage and rate are the mean over kinds, each by its weight', () => {
  const both = createScheduler({ kinds: [cpumem, licences] });
  const fleet = fleetOf([node('a', 250)], both);
  const ask = request([node('a')], { asked: licenceAnswer({ a: 9 }) });
  const [choice] = choicesOf(both.spread(fleet, ask));
  expect(choice?.usage).toBeCloseTo((1 * 0.25 + 3 * 0.5) / 4, 12);
  expect(choice?.rate).toBeCloseTo((1 * 0.1 + 3 * 0.1) / 4, 12);
});

test.each(['AUTO', 'GLOBAL'] as const)('%s asks a kind again that looks at the plan so far', (strategy) => {
  const followed = createScheduler({ kinds: [...builtinKinds(), zones] });
  const nodes = [
    node('a', 0, { zone: 'east' }),
    node('b', 0, { zone: 'east' }),
    node('c', 600, { zone: 'west' }),
    node('d', 900, { zone: 'west', disk: 'ssd' }),
  ];
  const fleet = fleetOf(nodes, followed);
  const spread = request(nodes, { strategy, count: 6, labels: { spread: 'zone' } });
  const byZone = (result: PlanResult): unknown => {
    const shares = placed(result);
    return [(shares['a'] ?? 0) + (shares['b'] ?? 0), (shares['c'] ?? 0) + (shares['d'] ?? 0)];
  };
  expect(byZone(followed.plan(fleet, spread))).toEqual([3, 3]);
  expect(placed(followed.plan(fleet, { ...spread, count: 1, labels: { spread: 'zone', likes: 'ssd' } }))).toEqual({
    d: 1,
  });
  // West holds five in all, so that a plan of twelve stops: east may lead by one only.
  expect(followed.plan(fleet, { ...spread, count: 12 })).toMatchObject({ ok: false, identity: 'resource' });
  expect(byZone(followed.plan(fleet, { ...spread, count: 11 }))).toEqual([6, 5]);
  // A request that the kind has nothing to say to is planned as if it were not there.
  expect(followed.plan(fleet, { ...spread, labels: {} })).toMatchObject({ ok: true });
});

test('two kinds that follow the plan both have their say', () => {
  const followed = createScheduler({ kinds: [...builtinKinds(), zones] });
  const nodes = ['a', 'b', 'c', 'd', 'e'].map((name, index) => node(name, 0, { zone: index < 2 ? 'east' : 'west' }));
  const resources = { affinity: { 'anti-affinity': [{ labels: { app: 'web' } }] } };
  const labels = { app: 'web', spread: 'zone' };
  const fleet = fleetOf(nodes, followed);
  const ask = request(nodes, { resources, labels, count: 5 });
  // One for each node, and west no more than one ahead of east.
  expect(placed(followed.plan(fleet, ask))).toEqual({ a: 1, b: 1, c: 1, d: 1, e: 1 });
  expect(followed.plan(fleet, { ...ask, count: 6 })).toMatchObject({ ok: false, refused: [] });
  const west = { ...ask, candidates: ['c', 'd', 'e'] };
  expect(followed.plan(fleet, { ...west, count: 3 })).toMatchObject({ ok: false, identity: 'resource' });
  expect(placed(followed.plan(fleet, { ...west, count: 1 }))).toEqual({ c: 1 });
  const mine = { affinity: { labels: { app: 'web' } } };
  const taken = { ...nodes[2], resources: followed.book(empty, [mine], []) } as PlannedNode;
  fleet.set(taken);
  expect(followed.capacity(fleet, ask).refused).toMatchObject([{ node: 'c', kind: 'affinity' }]);
});

function choicesOf(result: SpreadResult): readonly Choice[] {
  if (!result.ok) throw new Error(result.message);
  return result.choices;
}

function placed(result: PlanResult): Record<string, number> {
  if (!result.ok) throw new Error(result.message);
  const shares: Record<string, number> = {};
  for (const { node } of result.instances) shares[node] = (shares[node] ?? 0) + 1;
  return shares;
}
