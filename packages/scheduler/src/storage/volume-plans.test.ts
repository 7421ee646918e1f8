import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Measure, ResourceKind } from '../kind.ts';
import type { NodeResources, Resources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { enumerate } from './enumerator.suite.ts';
import { readDisks, storedDisks } from './disk.ts';
import { storage } from './kind.ts';
import type { Compiled } from './measure.ts';
import { readHoldings } from './node.ts';
import { requestsOf } from './request.ts';
import type { Space } from './space.ts';

// Everything about plans for new workloads: the worked examples of reference/scheduling.md section 4.3, then the planner
// against the enumerator, which is the text of that section.

interface Setup {
  readonly kind: ResourceKind<Compiled, Space>;
  readonly node: NodeResources;
}

function setUp(volumes: Record<string, number>, used: Record<string, number>, disks: string[] = [], n = 100): Setup {
  const kind = storage({ shareBase: 100, maxShare: -1, maxDeployCount: n }) as ResourceKind<Compiled, Space>;
  const scheduler = createScheduler({ kinds: [storage], maxDeployCount: n });
  const request = {
    volumes: Object.entries(volumes).map(([path, size]) => `${path}:${size}`),
    disks,
    storage: 1_000_000,
  };
  const empty = scheduler.addNode({ storage: request }, { cpus: 1, memory: 1, storage: 0, resources: {} });
  const plan = Object.fromEntries(
    Object.entries(used).map(([path, bytes]) => [`AUTO:/used${path}:rw:${bytes}:0:0:0:0`, { [path]: bytes }]),
  );
  return { kind, node: scheduler.book(empty, [{ storage: { volume_plan_request: plan } }], []) };
}

function count({ kind, node }: Setup, raw: JsonObject): number {
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  kind.measure(stateOf(kind, node), kind.parse(raw), measure);
  return measure.count;
}

function stateOf(kind: Setup['kind'], resources: NodeResources): Space {
  return kind.state({ name: 'n', labels: {}, resources });
}

/** Target -> `path` and bytes, of each plan. */
function plans({ kind, node }: Setup, raw: JsonObject, count: number): Record<string, string>[] {
  return kind.allocate(stateOf(kind, node), kind.parse(raw), count).map(({ resources }) => {
    const plan = Object.entries(resources['volume_plan_request'] as Record<string, Record<string, number>>);
    return Object.fromEntries(
      plan.map(([text, volume]) => [
        text.split(':')[1],
        Object.entries(volume)
          .map((entry) => entry.join(' '))
          .join(),
      ]),
    );
  });
}

const node = (n?: number): Setup => setUp({ '/d1': 100, '/d2': 60, '/d3': 80 }, { '/d1': 30 }, [], n);
const disks = setUp({ '/ssd': 1000, '/hdd': 1000 }, {}, ['sda:/ssd:500:500:0:0', 'sdb:/hdd:100:100:0:0']);

test.each<[string, Setup, string[], number, Record<string, string>[]]>([
  [
    'example 1: unused volumes are opened one by one, and the best fit is taken',
    node(),
    ['AUTO:/x:rw:40'],
    4,
    [{ '/x': '/d2 40' }, { '/x': '/d1 40' }, { '/x': '/d3 40' }, { '/x': '/d3 40' }],
  ],
  [
    'example 2: the smaller request first',
    node(),
    ['AUTO:/x:rw:40', 'AUTO:/y:rw:25'],
    3,
    [
      { '/y': '/d2 25', '/x': '/d1 40' },
      { '/y': '/d1 25', '/x': '/d3 40' },
      { '/y': '/d2 25', '/x': '/d3 40' },
    ],
  ],
  [
    'example 3: exclusive bindings keep a volume and divide all of it',
    node(),
    ['AUTO:/x:rw:40', 'AUTO:/m:rwm:10', 'AUTO:/n:rwm:30'],
    1,
    [{ '/x': '/d2 40', '/m': '/d3 20', '/n': '/d3 60' }],
  ],
  [
    'example 4, two at most are looked for: one volume is opened, though four have room',
    node(2),
    ['AUTO:/x:rw:40', 'AUTO:/u:rw:0'],
    4,
    [
      { '/x': '/d2 40', '/u': '/d3 0' },
      { '/x': '/d1 40', '/u': '/d3 0' },
    ],
  ],
  [
    'example 4, a hundred at most: all are opened',
    node(100),
    ['AUTO:/x:rw:40', 'AUTO:/u:rw:0'],
    4,
    ['/d2', '/d1', '/d3', '/d3'].map((path) => ({ '/x': `${path} 40`, '/u': '/d1 0' })),
  ],
  [
    'example 5: a disk gives what it has',
    disks,
    ['AUTO:/x:rw:10:200:50'],
    2,
    [{ '/x': '/ssd 10' }, { '/x': '/ssd 10' }],
  ],
  [
    'exclusive bindings with IO and no size divide evenly',
    disks,
    ['AUTO:/m:rwm:0:50', 'AUTO:/n:rwm:0:50'],
    2,
    [
      { '/m': '/hdd 500', '/n': '/hdd 500' },
      { '/m': '/ssd 500', '/n': '/ssd 500' },
    ],
  ],
])('%s', (_example, setup, volumes, room, expected) => {
  expect(count(setup, { volumes })).toBe(room);
  expect(plans(setup, { volumes }, expected.length)).toEqual(expected);
});

test('counts are exact beyond what is looked for, and cost no more', () => {
  const huge = setUp({ '/a': 2 ** 50, '/b': 2 ** 50 }, { '/a': 1 });
  expect(count(huge, { volumes: ['AUTO:/x:rw:1'] })).toBe(2 ** 51 - 1);
  expect(count(huge, { volumes: ['AUTO:/x:rw:1', 'AUTO:/y:rw:2'] })).toBe(Math.floor((2 ** 51 - 1) / 3));
  expect(plans(huge, { volumes: ['AUTO:/x:rw:1'] }, 300)).toHaveLength(300);
});

test('who asks for nothing is not bounded, and is not in the record', () => {
  const bare: Setup = { kind: node().kind, node: { capacity: {}, usage: {} } };
  for (const raw of [{}, { volumes: ['/srv/data:/data:rw'] }]) expect(count(bare, raw)).toBe(Infinity);
  const [allotment] = bare.kind.allocate(stateOf(bare.kind, bare.node), bare.kind.parse({}), 1);
  expect(allotment).toEqual({ resources: {}, engineParams: {} });
  expect(count(bare, { volumes: ['AUTO:/x:rw:0'] })).toBe(0);
  expect(count(node(), { volumes: ['AUTO:/x:rw:0'] })).toBe(Infinity);
});

const paths = ['/a', '/a/deep', '/b', '/c'] as const;
const size = fc.integer({ min: 0, max: 150 });
const rate = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: 0, max: 20 }));
const io = fc.tuple(rate, rate, rate, rate);

const machine = fc.record({
  volumes: fc.array(
    fc.record({
      path: fc.constantFrom(...paths),
      bytes: size,
      used: fc.oneof(fc.constant(0), fc.integer({ max: 20, min: 1 })),
    }),
    {
      minLength: 1,
      maxLength: 4,
    },
  ),
  disks: fc.array(fc.record({ mount: fc.constantFrom('/', ...paths), io: fc.tuple(size, size, size, size) }), {
    maxLength: 3,
  }),
});

const bindings = fc.array(
  fc.record({
    source: fc.constantFrom('AUTO', 'AUTO', '', '/a/deep/inside', '/elsewhere'),
    flags: fc.constantFrom('rw', 'rw', 'ro', 'mrw'),
    size: fc.integer({ min: 0, max: 12 }),
    io: fc.oneof(fc.constant([0, 0, 0, 0]), io),
  }),
  { minLength: 1, maxLength: 4 },
);

interface Case {
  readonly setup: Setup;
  readonly raw: { readonly volumes: string[] };
}

function caseOf(given: typeof machine extends fc.Arbitrary<infer T> ? T : never, asked: Binding[], n: number): Case {
  const volumes = new Map(given.volumes.map(({ path, bytes, used }) => [path, { bytes, used: Math.min(used, bytes) }]));
  const mounts = new Map(given.disks.map(({ mount, io }) => [mount, io]));
  const setup = setUp(
    Object.fromEntries([...volumes].map(([path, { bytes }]) => [path, bytes])),
    Object.fromEntries([...volumes].map(([path, { used }]) => [path, used])),
    [...mounts].map(([mount, io], index) => `disk${index}:${mount}:${io.join(':')}`),
    n,
  );
  return {
    setup,
    raw: {
      volumes: asked.map(
        ({ source, flags, size, io }, index) =>
          `${source}:/t${index}:${flags}:${flags === 'mrw' ? size + 1 : size}:${io.join(':')}`,
      ),
    },
  };
}

type Binding = typeof bindings extends fc.Arbitrary<(infer T)[]> ? T : never;

const limit = fc.constantFrom(1, 2, 5, 80);
const seeded = { seed: 20_264, numRuns: 800 };

test('counts and plans are those of the enumerator', () => {
  const seen = { planned: 0, refused: 0, exclusive: 0, io: 0 };
  fc.assert(
    fc.property(machine, bindings, limit, (given, asked, n) => {
      const { setup, raw } = caseOf(given, asked, n);
      const { kind, node } = setup;
      const request = kind.parse(raw);
      const [capacity, usage] = [
        readHoldings(node.capacity['storage'] ?? {}),
        readHoldings(node.usage['storage'] ?? {}),
      ];
      const expected = enumerate(capacity, usage, requestsOf(request), n);
      expect(Math.min(count(setup, raw), n)).toBe(expected.length);
      seen[expected.length > 0 ? 'planned' : 'refused'] += 1;
      const allotted = kind.allocate(stateOf(kind, node), request, expected.length);
      for (const [index, { resources }] of allotted.entries()) {
        const plan = expected[index];
        const volumes = Object.entries(plan?.volumes ?? {}).map(([text, [path, bytes]]) => [text, { [path]: bytes }]);
        expect(resources['volume_plan_request']).toEqual(Object.fromEntries(volumes));
        const taken = readDisks(resources, 'disks_request').map(({ device, io }) => [device, io]);
        const io = Object.entries(plan?.io ?? {}).filter(([, io]) => io.some((amount) => amount > 0));
        expect(Object.fromEntries(taken)).toEqual(Object.fromEntries(io));
        if (taken.length > 0) seen.io += 1;
        if (asked.some(({ source, flags }) => flags === 'mrw' && !source.startsWith('/'))) seen.exclusive += 1;
      }
    }),
    seeded,
  );
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(50);
});

test('the order of volumes, disks and bindings does not matter', () => {
  fc.assert(
    fc.property(machine, bindings, limit, (given, asked, n) => {
      const { setup, raw } = caseOf(given, asked, n);
      const turned = {
        ...setup,
        node: { capacity: reversed(setup.node.capacity), usage: reversed(setup.node.usage) },
      };
      const [there, back] = [raw, { volumes: raw.volumes.toReversed() }];
      const most = Math.min(count(setup, there), n);
      expect(count(turned, back)).toBe(count(setup, there));
      expect(plans(turned, back, most)).toEqual(plans(setup, there, most));
    }),
    seeded,
  );
});

/** The same resources, written the other way round. */
function reversed({ storage }: Resources): Resources {
  const { volumes, disks } = readHoldings(storage ?? {});
  return {
    storage: {
      ...storage,
      volumes: Object.fromEntries(Object.entries(volumes).reverse()),
      disks: storedDisks(disks.toReversed()),
    },
  };
}

test('what is counted can be allocated, fits the node, and given back leaves no trace', () => {
  const scheduler = createScheduler({ kinds: [storage] });
  fc.assert(
    fc.property(machine, bindings, (given, asked) => {
      const { setup, raw } = caseOf(given, asked, 3);
      const { kind, node } = setup;
      const most = Math.min(count(setup, raw), 200);
      const held = kind
        .allocate(stateOf(kind, node), kind.parse(raw), most)
        .map(({ resources }) => ({ storage: resources }));
      const booked = scheduler.book(node, held, []);
      expect(scheduler.fits(booked)).toEqual([]);
      expect(scheduler.book(booked, [], held.toReversed())).toEqual(node);
    }),
    seeded,
  );
});

test('a refusal names what is missing, and by how much', () => {
  fc.assert(
    fc.property(machine, bindings, (given, asked) => {
      const { setup, raw } = caseOf(given, asked, 3);
      if (count(setup, raw) > 0) return;
      const { needed, free } = setup.kind.refuse(stateOf(setup.kind, setup.node), setup.kind.parse(raw));
      expect(needed).toBeGreaterThan(free);
    }),
    seeded,
  );
});
