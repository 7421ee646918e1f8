import { stableStringify, type JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { catching } from '../catching.suite.ts';
import type { MachineInfo, NodeResources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { engineForm, formatBinding, parseBinding, roleOf } from './binding.ts';
import { storage } from './kind.ts';

const scheduler = createScheduler({ kinds: [storage] });
const machine: MachineInfo = { cpus: 1, memory: 1, storage: 1000, resources: {} };
const normal = (raw: JsonObject): JsonObject | undefined => scheduler.validate({ storage: raw })['storage'];

describe('a binding', () => {
  test.each([
    ['/src:/dst', '/src:/dst:rw:0:0:0:0:0', '/src:/dst:rw:0', 'mount'],
    ['/src:/dst:ro', '/src:/dst:ro:0:0:0:0:0', '/src:/dst:ro:0', 'mount'],
    ['AUTO:/dst:rw:1K', 'AUTO:/dst:rw:1024:0:0:0:0', 'AUTO:/dst:rw:1024', 'normal'],
    [':/dst::10', ':/dst:rw:10:0:0:0:0', ':/dst:rw:10', 'normal'],
    ['fastAUTO:/dst:wr', 'fastAUTO:/dst:rw:0:0:0:0:0', 'fastAUTO:/dst:rw:0', 'unlimited'],
    ['AUTO:/dst:rw:0:0:5', 'AUTO:/dst:rw:0:0:5:0:0', 'AUTO:/dst:rw:0:0:5:0:0', 'normal'],
    ['AUTO:/dst:rwm:10', 'AUTO:/dst:mrw:10:0:0:0:0', 'AUTO:/dst:rw:10', 'mono'],
    ['AUTO:/dst:m:0:1:2:3K:4M', 'AUTO:/dst:m:0:1:2:3072:4194304', 'AUTO:/dst::0:1:2:3072:4194304', 'mono'],
    ['/src:/dst:m', '/src:/dst:m:0:0:0:0:0', '/src:/dst', 'mount'],
    ['AUTO:/dst:rom:7', 'AUTO:/dst:mro:7:0:0:0:0', 'AUTO:/dst:ro:7', 'mono'],
  ])('%s', (text, full, engine, role) => {
    const binding = parseBinding(text, 'field');
    expect([formatBinding(binding), engineForm(binding), roleOf(binding)]).toEqual([full, engine, role]);
    expect(parseBinding(full, 'field')).toEqual(binding);
  });

  test.each(['', '/src', '/src:', ':', 'AUTO:/x:rw:big', 'AUTO:/x:rw:1:2:3:4:5:6', 'AUTO:/x:rw:1:-1x'])(
    '%j is refused',
    (text) => {
      expect(catching(() => normal({ volumes: [text] }))).toMatchObject({
        code: 'invalid',
        details: { field: 'storage.volumes', value: text },
        message: expect.stringMatching(/^storage volumes: .* is not allowed; write source:target.*: invalid volume$/),
      });
    },
  );
});

describe('a workload request', () => {
  const bindings = (...texts: string[]): string[] => texts.map((text) => formatBinding(parseBinding(text, 'field')));

  test.each<[string, JsonObject, JsonObject]>([
    ['nothing asked is nothing', { 'storage-request': 0, 'storage-limit': 0, 'volumes-request': null }, {}],
    ['storage is both', { storage: '1K' }, asked([], [], 1024, 1024)],
    ['amounts may be numbers', { 'storage-request': 5, 'storage-limit': 7 }, asked([], [], 5, 7)],
    ['a missing storage request takes the limit', { 'storage-limit': '7' }, asked([], [], 7, 7)],
    ['a limit below its request is raised', { 'storage-request': 9, 'storage-limit': 7 }, asked([], [], 9, 9)],
    [
      'missing volume requests take the limits',
      { 'volumes-limit': ['AUTO:/x:rw:5'] },
      asked(bindings('AUTO:/x:rw:5'), bindings('AUTO:/x:rw:5'), 0, 0),
    ],
    [
      'lists are sorted, sizes and IO of a limit are raised to the request',
      { 'volume-request': ['AUTO:/y:rw:5:9', 'AUTO:/x:rw:5'], volume: ['AUTO:/x:rw:0', 'AUTO:/y:rw:3:1:1'] },
      asked(bindings('AUTO:/x:rw:5', 'AUTO:/y:rw:5:9'), bindings('AUTO:/x:rw:0', 'AUTO:/y:rw:5:9:1'), 0, 0),
    ],
    ['unknown keys are ignored', { colour: 'red' }, {}],
  ])('%s', (_rule, raw, expected) => {
    expect(normal(raw)).toEqual(expected);
    expect(normal(expected)).toEqual(expected);
  });

  function asked(requests: string[], limits: string[], storageRequest: number, storageLimit: number): JsonObject {
    return {
      'volumes-request': requests,
      'volumes-limit': limits,
      'storage-request': storageRequest,
      'storage-limit': storageLimit,
    };
  }

  test('storage includes the volumes, once', () => {
    const node = scheduler.addNode({ storage: { volumes: ['/d:100'], storage: 50 } }, machine);
    const raw = { storage: 10, 'volumes-request': ['AUTO:/x:rw:5'], 'volumes-limit': ['AUTO:/x:rw:20'] };
    expect(place(node, raw)).toMatchObject({ storage_request: 15, storage_limit: 30 });
  });

  test.each<[JsonObject, string, string]>([
    [{ 'storage-limit': -1 }, 'storage-limit', 'invalid storage'],
    [{ 'storage-request': '-1K' }, 'storage-request', 'invalid storage'],
    [{ storage: 'much' }, 'storage', 'invalid storage'],
    [{ storage: [1] }, 'storage', 'invalid storage'],
    [{ volumes: 'AUTO:/x:rw:5' }, 'volumes', 'invalid volume'],
    [{ volumes: [5] }, 'volumes', 'invalid volume'],
    [{ volumes: ['AUTO:/x:rw:-5'] }, 'volumes', 'invalid volume'],
    [{ volumes: ['AUTO:/x:rwm'] }, 'volumes', 'invalid volume'],
    [{ volumes: ['AUTO:/x:rw:5:-1'] }, 'volumes', 'invalid io parameters'],
    [{ 'volumes-request': ['AUTO:/x:rw:5'] }, 'volumes-request', 'invalid volume'],
    [{ 'volumes-request': ['AUTO:/x:rw:5'], volumes: ['AUTO:/x:ro:5'] }, 'volumes-request', 'invalid volume'],
    [{ volumes: ['AUTO:/x:rw:5', '/src:/x'] }, 'volumes-request', 'invalid volume'],
  ])('%j is refused', (raw, field, original) => {
    const thrown = catching(() => normal(raw));
    expect(thrown).toMatchObject({ code: 'invalid', details: { field: `storage.${field}` } });
    expect(thrown.message).toMatch(new RegExp(`^storage ${field}: .* is not allowed; .*: ${original}$`));
  });
});

describe('a node', () => {
  const told = { storage: 500, volumes: { '/t': 100 }, disks: [{ device: 'sdt', mounts: ['/t'], read_IOPS: 5 }] };

  test('has 80 % of the storage of its machine, and what its engine tells', () => {
    expect(scheduler.addNode(undefined, machine)).toEqual({
      capacity: { storage: { storage: 800, volumes: {}, disks: [] } },
      usage: { storage: { storage: 0, volumes: {}, disks: [] } },
    });
    expect(scheduler.addNode({}, { ...machine, resources: { storage: told } })).toEqual({
      capacity: { storage: { storage: 400, volumes: { '/t': 100 }, disks: [disk('sdt', '/t', 5)] } },
      usage: { storage: { storage: 0, volumes: { '/t': 0 }, disks: [disk('sdt', '/t', 0)] } },
    });
  });

  test('takes the operator’s figures; its storage includes its volumes', () => {
    const request = { storage: '1K', volumes: ['/b:10', '/a:20'], disks: ['sdb:/b:3:0:0:0', 'sda:/a,/c:1:2:3K:4'] };
    expect(scheduler.addNode({ storage: request }, { ...machine, resources: { storage: told } }).capacity).toEqual({
      storage: {
        storage: 1054,
        volumes: { '/b': 10, '/a': 20 },
        disks: [
          { device: 'sda', mounts: ['/a', '/c'], read_IOPS: 1, write_IOPS: 2, read_bps: 3072, write_bps: 4 },
          disk('sdb', '/b', 3),
        ],
      },
    });
  });

  test.each<[JsonObject, string]>([
    [{ volumes: ['/a'] }, 'invalid volume'],
    [{ volumes: ['/a:'] }, 'invalid volume'],
    [{ volumes: ['/a:-1'] }, 'invalid volume'],
    [{ volumes: ['/a:1:2'] }, 'invalid volume'],
    [{ storage: -1 }, 'invalid storage'],
    [{ storage: true }, 'invalid storage'],
    [{ disks: ['sda:/a:1:2:3'] }, 'invalid disk'],
    [{ disks: ['sda:/a:1K:2:3:4'] }, 'invalid disk'],
    [{ disks: ['sda:/a:1:2:3:x'] }, 'invalid disk'],
    [{ disks: [':/a:1:2:3:4'] }, 'invalid disk'],
    [{ disks: ['sda:/a:-1:2:3:4'] }, 'invalid io parameters'],
  ])('%j is refused', (request, original) => {
    const thrown = catching(() => scheduler.addNode({ storage: request }, machine));
    expect(thrown).toMatchObject({ code: 'invalid', message: expect.stringMatching(`: ${original}$`) });
  });

  const node = scheduler.addNode({ storage: { storage: 5, volumes: ['/a:20'], disks: ['sda:/a:9:9:9:9'] } }, machine);
  const changed = (request: JsonObject, delta: boolean): JsonObject | undefined =>
    scheduler.setCapacity(node, { storage: request }, { delta }).capacity['storage'];

  test('changes by amounts', () => {
    expect(changed({ storage: '-5', volumes: ['/a:-20', '/b:7'] }, true)).toMatchObject({
      storage: 7,
      volumes: { '/b': 7 },
    });
    expect(changed({ disks: ['sda::-1:0:0:1', 'sdb:/b:1:0:0:0'] }, true)).toMatchObject({
      disks: [
        { device: 'sda', mounts: ['/a'], read_IOPS: 8, write_IOPS: 9, read_bps: 9, write_bps: 10 },
        disk('sdb', '/b', 1),
      ],
    });
    expect(catching(() => changed({ 'rm-disks': 'sda' }, true)).message).toMatch(/: invalid engine args$/);
  });

  test('or part by part: what is not given stays', () => {
    expect(changed({ volumes: ['/b:7'] }, false)).toMatchObject({ storage: 12, volumes: { '/b': 7 } });
    expect(changed({ storage: 1 }, false)).toMatchObject({ storage: 21, volumes: { '/a': 20 } });
    expect(changed({ 'rm-disks': 'sdx,sda' }, false)).toMatchObject({ storage: 25, disks: [] });
    expect(changed({ disks: ['sdb:/a:1:0:0:0'] }, false)).toMatchObject({ disks: [disk('sdb', '/a', 1)] });
    expect(scheduler.setCapacity(node, { storage: {} }, { delta: false })).toEqual(node);
  });

  test('what is in use cannot go', () => {
    const busy = scheduler.book(node, [{ storage: place(node, { volumes: ['AUTO:/x:rw:5:1'] }) }], []);
    const refusal = (request: JsonObject): string =>
      catching(() => scheduler.setCapacity(busy, { storage: request }, { delta: false })).message;
    expect(refusal({ volumes: ['/b:9'] })).toContain('volume /a: 5 used of 0');
    expect(refusal({ volumes: ['/a:4'] })).toMatch(/volume \/a: 5 used of 4.*: invalid capacity$/);
    expect(refusal({ 'rm-disks': 'sda' })).toContain('disk sda: 1 read IOPS used of 0');
    expect(scheduler.setCapacity(busy, { storage: { storage: 0 } }, { delta: false }).capacity).toBeDefined();
  });

  test('has metrics of its storage', () => {
    expect(scheduler.metrics('p', 'n.1', node).map(({ key, value }) => `${key}=${value}`)).toEqual([
      'core.node.n_1.storage.used=0',
      'core.node.n_1.storage=25',
    ]);
  });
});

function disk(device: string, mount: string, readIops: number): JsonObject {
  return { device, mounts: [mount], read_IOPS: readIops, write_IOPS: 0, read_bps: 0, write_bps: 0 };
}

function place(node: NodeResources, raw: JsonObject): JsonObject {
  return allotted(node, raw).resources;
}

function allotted(node: NodeResources, raw: JsonObject): { resources: JsonObject; engineParams: JsonObject } {
  const [kind] = scheduler.kinds;
  const state = kind?.state({ name: 'n', labels: {}, resources: node });
  const [allotment] = kind?.allocate(state, kind.parse(raw), 1) ?? [];
  if (allotment === undefined) throw new Error('nothing was allotted');
  return allotment;
}

const node = scheduler.addNode(
  { storage: { storage: 1000, volumes: ['/a:100', '/b:60'], disks: ['sda:/a:100:100:0:0', 'sdb:/b,/srv:50:50:0:0'] } },
  machine,
);

describe('a deploy', () => {
  test('books requests, tells the engine the limits', () => {
    const raw = {
      'storage-request': 5,
      'volumes-request': ['AUTO:/x:rw:40:10', '/srv/x:/y:ro:0:0:7', 'AUTO:/m:rwm:10', '/etc:/z'],
      'volumes-limit': ['AUTO:/x:rw:50:20', '/srv/x:/y:ro:0:0:9', 'AUTO:/m:rwm:10', '/etc:/z'],
    };
    expect(allotted(node, raw)).toEqual({
      resources: {
        volumes_request: [
          '/etc:/z:rw:0:0:0:0:0',
          '/srv/x:/y:ro:0:0:7:0:0',
          'AUTO:/m:mrw:10:0:0:0:0',
          'AUTO:/x:rw:40:10:0:0:0',
        ],
        volumes_limit: [
          '/etc:/z:rw:0:0:0:0:0',
          '/srv/x:/y:ro:0:0:9:0:0',
          'AUTO:/m:mrw:10:0:0:0:0',
          'AUTO:/x:rw:50:20:0:0:0',
        ],
        volume_plan_request: { 'AUTO:/x:rw:40:10:0:0:0': { '/b': 40 }, 'AUTO:/m:mrw:10:0:0:0:0': { '/a': 100 } },
        volume_plan_limit: { 'AUTO:/x:rw:40:10:0:0:0': { '/b': 50 }, 'AUTO:/m:mrw:10:0:0:0:0': { '/a': 100 } },
        storage_request: 55,
        storage_limit: 65,
        disks_request: [
          { device: 'sdb', mounts: ['/b', '/srv'], read_IOPS: 10, write_IOPS: 7, read_bps: 0, write_bps: 0 },
        ],
        disks_limit: [
          { device: 'sdb', mounts: ['/b', '/srv'], read_IOPS: 20, write_IOPS: 9, read_bps: 0, write_bps: 0 },
        ],
      },
      engineParams: {
        volumes: ['/etc:/z:rw:0', '/srv/x:/y:ro:0:0:9:0:0', '/a:/m:rw:100', '/b:/x:rw:50:20:0:0:0'],
        storage: 65,
        iops_options: { sdb: '20:9:0:0' },
        volume_changed: false,
      },
    });
  });

  test.each<[JsonObject, string, number, number]>([
    [{ storage: 2000 }, 'free storage', 2000, 1160],
    [{ volumes: ['AUTO:/x:rw:101'] }, 'free space on a volume', 101, 100],
    [{ volumes: ['AUTO:/x:rwm:101'] }, 'unused volume', 101, 100],
    [{ volumes: ['AUTO:/x:rw:1:101'] }, 'read IOPS of a disk', 101, 100],
    [{ volumes: ['/elsewhere:/x:rw:0:0:1'] }, 'write IOPS of a disk', 1, 0],
    [{ 'volumes-request': ['/elsewhere:/x'], volumes: ['/elsewhere:/x:rw:0:1'] }, 'disks with all of the IO', 1, 0],
    [{ volumes: ['AUTO:/x:rw:1', 'AUTO:/m:rwm:60', 'AUTO:/y:rw:99'] }, 'unused volumes', 3, 2],
  ])('%j is refused with what is missing', (raw, reason, needed, free) => {
    const fleet = { name: 'n', labels: {}, resources: node };
    const [kind] = scheduler.kinds;
    const request = kind?.parse(raw);
    const measure = { count: 0, usage: 0, rate: 0, weight: 0 };
    kind?.measure(kind.state(fleet), request, measure);
    expect(measure.count).toBe(0);
    expect(kind?.refuse(kind.state(fleet), request)).toMatchObject({ reason, needed, free });
  });

  test.each<[JsonObject, number, number, number]>([
    [{}, Infinity, 0.25, 0],
    [{ volumes: ['AUTO:/x:rw:8'] }, 14, 0.25, 0.05],
    [{ storage: 100 }, 11, 40 / 1160, 100 / 1160],
    [{ storage: 100, volumes: ['AUTO:/x:rw:8'] }, 10, 0.25, 0.05],
  ])('%j: capacity, usage and rate', (raw, count, usage, rate) => {
    const held = place(node, { volumes: ['AUTO:/x:rw:40'] });
    const [kind] = scheduler.kinds;
    const resources = scheduler.book(node, [{ storage: held }], []);
    const measure = { count: 0, usage: 0, rate: 0, weight: 0 };
    kind?.measure(kind.state({ name: 'n', labels: {}, resources }), kind.parse(raw), measure);
    expect(measure).toEqual({ count, usage, rate, weight: 1 });
  });
});

describe('bookings', () => {
  test('differences have the original’s texts and order, and are mended', () => {
    const held = place(node, { storage: 1, volumes: ['AUTO:/x:rw:40:10'] });
    const wrong = scheduler.book(node, [{ storage: held }], []);
    const { lines, fixed } = scheduler.diff(wrong, []);
    expect(lines).toEqual([
      'node.Storage != sum(workload.Storage): 41 != 0',
      'node.Volumes[/b] != sum(workload.Volumes[/b]): 40 != 0',
      'node.Disks[sdb] != sum(workload.Disks[sdb]): sdb:/b,/srv:10:0:0:0 != sdb:/b,/srv:0:0:0:0',
    ]);
    expect(fixed).toEqual(node);
    expect(scheduler.diff(node, [{ storage: held }]).fixed).toEqual(wrong);
    expect(scheduler.diff(wrong, [{ storage: held }]).lines).toEqual([]);
    expect(scheduler.fits(scheduler.book(wrong, [{ storage: held }], []))).toEqual([
      'storage volume /b: 80 used of 60',
    ]);
  });

  const amount = fc.integer({ min: 0, max: 2 ** 40 });
  const rates = fc.tuple(amount, amount, amount, amount);
  const booking = fc
    .record({
      storage: amount,
      plan: fc.array(fc.tuple(fc.constantFrom('/x', '/y', '/z'), fc.constantFrom('/a', '/b'), amount), {
        maxLength: 3,
      }),
      disks: fc.dictionary(fc.constantFrom('sda', 'sdb'), rates),
    })
    .map(({ storage, plan, disks }): { storage: JsonObject } => ({
      storage: {
        storage_request: storage,
        volume_plan_request: Object.fromEntries(
          plan.map(([target, path, bytes]) => [`AUTO:${target}:rw:${bytes}:0:0:0:0`, { [path]: bytes }]),
        ),
        disks_request: Object.entries(disks).map(([device, [r, w, rb, wb]]) => ({
          device,
          mounts: [],
          read_IOPS: r,
          write_IOPS: w,
          read_bps: rb,
          write_bps: wb,
        })),
      },
    }));

  test('usage is the sum of the records and the surplus, through a change and back', () => {
    fc.assert(
      fc.property(fc.array(booking, { maxLength: 5 }), booking, booking, (others, before, after) => {
        const start = scheduler.book(node, [...others, before], []);
        const larger = scheduler.maxUsage(before, after);
        const changing = scheduler.book(start, [larger], [before]);
        expect(scheduler.diff(changing, [...others, larger]).lines).toEqual([]);
        expect(scheduler.book(changing, [after], [larger])).toEqual(scheduler.book(node, [...others, after], []));
        expect(scheduler.book(changing, [before], [larger])).toEqual(start);
        // Amount by amount it covers both, and no more than the larger one.
        const [sum, left, right] = [scheduler.sum([larger]), scheduler.sum([before]), scheduler.sum([after])];
        expect(stableStringify(sum)).toBe(stableStringify(scheduler.sum([scheduler.maxUsage(after, before)])));
        expect(sum['storage']?.['storage']).toBe(
          Math.max(Number(left['storage']?.['storage']), Number(right['storage']?.['storage'])),
        );
      }),
      { seed: 20_265, numRuns: 300 },
    );
  });
});
