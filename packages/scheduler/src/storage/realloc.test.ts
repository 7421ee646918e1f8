import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fleet } from '../fleet/fleet.ts';
import type { NodeResources, ReallocResult, Resources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { storage } from './kind.ts';

// The node of the worked examples in reference/scheduling.md section 4.4: `/d1` is used by the workload's /x, `/d2` is its
// /m's alone, `/d3` is free.

const scheduler = createScheduler({ kinds: [storage] });
const machine = { cpus: 1, memory: 1, storage: 0, resources: {} };

function nodeWith(request: JsonObject): NodeResources {
  return scheduler.addNode({ storage: request }, machine);
}

function held(volumes: Record<string, Record<string, number>>, more: JsonObject = {}): Resources {
  const bindings = Object.keys(volumes);
  const sum = bindings.reduce((total, text) => total + Number(text.split(':')[3]), 0);
  return {
    storage: {
      volumes_request: bindings,
      volumes_limit: bindings,
      volume_plan_request: volumes,
      volume_plan_limit: volumes,
      storage_request: sum,
      storage_limit: sum,
      disks_request: [],
      disks_limit: [],
      ...more,
    },
  };
}

function change(node: NodeResources, current: Resources, delta: JsonObject): ReallocResult {
  const resources = scheduler.book(node, [current], []);
  return scheduler.realloc({ name: 'n', labels: {}, resources }, current, { storage: delta });
}

const node = nodeWith({ volumes: ['/d1:100', '/d2:60', '/d3:80'], storage: 1000, disks: ['sda:/d1:100:0:0:0'] });
const current = held({ 'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 60 }, 'AUTO:/x:rw:30:0:0:0:0': { '/d1': 30 } });

describe('the worked examples', () => {
  test.each<[string, string[], Record<string, Record<string, number>>, number, boolean]>([
    [
      'example 1: what grows stays, what is new goes to a used volume',
      ['AUTO:/x:rw:20', 'AUTO:/z:rw:15'],
      {
        'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 60 },
        'AUTO:/x:rw:50:0:0:0:0': { '/d1': 50 },
        'AUTO:/z:rw:15:0:0:0:0': { '/d1': 15 },
      },
      75,
      true,
    ],
    [
      'example 2: a new exclusive binding joins the volume, which is divided anew',
      ['AUTO:/n:rwm:20'],
      {
        'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 20 },
        'AUTO:/n:mrw:20:0:0:0:0': { '/d2': 40 },
        'AUTO:/x:rw:30:0:0:0:0': { '/d1': 30 },
      },
      60,
      true,
    ],
    ['example 4: below nothing it is gone', ['AUTO:/x:rw:-40'], { 'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 60 } }, 10, true],
    [
      'at nothing it is unlimited, where it was',
      ['AUTO:/x:rw:-30'],
      { 'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 60 }, 'AUTO:/x:rw:0:0:0:0:0': { '/d1': 0 } },
      10,
      false,
    ],
    [
      'larger in place changes nothing that is mounted',
      ['AUTO:/x:rw:70'],
      { 'AUTO:/m:mrw:10:0:0:0:0': { '/d2': 60 }, 'AUTO:/x:rw:100:0:0:0:0': { '/d1': 100 } },
      110,
      false,
    ],
  ])('%s', (_example, volumes, plan, storage, changed) => {
    expect(change(node, current, { volumes })).toMatchObject({
      ok: true,
      resources: { storage: { volume_plan_request: plan, storage_request: storage, storage_limit: storage } },
      engineParams: { storage: { volume_changed: changed } },
    });
  });

  test.each<[string, JsonObject, string, number, number]>([
    ['example 3', { volumes: ['AUTO:/x:rw:90'] }, 'free space on /d1', 120, 100],
    ['exclusive beyond its volume', { volumes: ['AUTO:/m:rwm:51'] }, 'size of the exclusive volume /d2', 61, 60],
    ['storage', { storage: 1201 }, 'free storage', 1241, 1240],
    ['IO of the volume', { volumes: ['AUTO:/x:rw:0:101'] }, 'read IOPS of a disk', 101, 100],
    ['a new volume', { volumes: ['AUTO:/z:rw:81'] }, 'free space on a volume', 81, 80],
  ])('%s is refused with what is missing', (_what, delta, reason, needed, free) => {
    expect(change(node, current, delta)).toMatchObject({
      ok: false,
      refusal: { kind: 'storage', reason, needed, free },
    });
  });
});

describe('a plan that is kept', () => {
  const io = [{ device: 'sda', mounts: ['/d1'], read_IOPS: 9, write_IOPS: 0, read_bps: 0, write_bps: 0 }];
  const busy = held({ 'AUTO:/x:rw:30:9:0:0:0': { '/d1': 30 } }, { disks_request: io, disks_limit: io });

  test.each<JsonObject>([{}, { storage: 5 }, { volumes: ['/etc:/etc:ro'] }])('keeps its IO: %j', (delta) => {
    expect(change(node, busy, delta)).toMatchObject({
      ok: true,
      resources: { storage: { volume_plan_request: { 'AUTO:/x:rw:30:9:0:0:0': { '/d1': 30 } }, disks_request: io } },
      engineParams: { storage: { iops_options: { sda: '9:0:0:0' } } },
    });
  });

  test('without a change is as it was, and gives the engine what it has', () => {
    const [kind] = scheduler.kinds;
    const state = kind?.state({ name: 'n', labels: {}, resources: node });
    const deployed = kind?.allocate(state, kind.parse({ volumes: ['AUTO:/x:rw:30:9'], storage: 7 }), 1)[0];
    expect(deployed).toBeDefined();
    expect(change(node, { storage: deployed?.resources ?? {} }, {})).toEqual({
      ok: true,
      resources: { storage: deployed?.resources },
      engineParams: { storage: deployed?.engineParams },
    });
  });

  test('a workload without storage stays without', () => {
    expect(change(node, {}, {})).toEqual({ ok: true, resources: {}, engineParams: {} });
    expect(change(node, {}, { storage: 5 })).toMatchObject({ resources: { storage: { storage_request: 5 } } });
  });

  test('its volume must still be there', () => {
    const elsewhere = held({ 'AUTO:/x:rw:30:0:0:0:0': { '/gone': 30 } });
    const result = scheduler.realloc({ name: 'n', labels: {}, resources: node }, elsewhere, {
      storage: { volumes: ['AUTO:/x:rw:5'] },
    });
    expect(result).toMatchObject({ ok: false, refusal: { reason: 'volume /gone, which the workload is on' } });
  });
});

test('what is below nothing is invalid', () => {
  expect(() => change(node, current, { storage: -1 })).toThrow('invalid storage');
  expect(() => change(node, current, { volumes: ['AUTO:/x:rw:0:-1'] })).toThrow('invalid io parameters');
  expect(() => change(node, current, { volumes: ['AUTO:/m:rwm:-10'] })).toThrow('invalid volume');
});

const size = fc.integer({ min: 1, max: 40 });
const targets = ['/x', '/y', '/m', '/n'] as const;
const bindings = (amount: fc.Arbitrary<number>): fc.Arbitrary<string[]> =>
  fc
    .dictionary(fc.constantFrom(...targets), amount, { minKeys: 1 })
    .map((sizes) =>
      Object.entries(sizes).map(([target, bytes]) => `AUTO:${target}:${target > '/w' ? 'rw' : 'rwm'}:${bytes}`),
    );

test('nothing moves that need not, and nothing is taken twice', () => {
  const seen = { changed: 0, refused: 0 };
  const delta = bindings(fc.integer({ min: -10, max: 30 }));
  fc.assert(
    fc.property(bindings(size), delta, fc.integer({ min: 0, max: 60 }), (volumes, delta, used) => {
      const others = held({ [`AUTO:/o:rw:${used}:0:0:0:0`]: { '/d3': used } });
      const base = scheduler.book(node, [others], []);
      const deployed = scheduler.plan(fleetOf(base), {
        resources: { storage: { volumes } },
        candidates: ['n'],
        strategy: 'AUTO',
        count: 1,
        nodesLimit: 0,
        counts: new Map(),
      });
      if (!deployed.ok) return;
      const before = deployed.instances[0]?.resources ?? {};
      let result: ReallocResult;
      try {
        result = change(base, before, { volumes: delta });
      } catch {
        return; // An exclusive volume without a size.
      }
      seen[result.ok ? 'changed' : 'refused'] += 1;
      if (!result.ok) return;
      const after = scheduler.book(base, [result.resources], []);
      expect(scheduler.fits(after)).toEqual([]);
      expect(scheduler.book(after, [], [result.resources])).toEqual(base);
      const [was, is] = [homes(before), homes(result.resources)];
      for (const [target, path] of was) if (is.has(target)) expect(is.get(target)).toBe(path);
    }),
    { seed: 20_266, numRuns: 800 },
  );
  for (const times of Object.values(seen)) expect(times).toBeGreaterThan(100);
});

function fleetOf(resources: NodeResources): Fleet {
  const fleet = new Fleet(scheduler);
  fleet.set({ name: 'n', labels: {}, resources });
  return fleet;
}

/** Target -> volume. */
function homes({ storage }: Resources): Map<string, string> {
  const plan = Object.entries((storage?.['volume_plan_request'] ?? {}) as Record<string, JsonObject>);
  return new Map(plan.map(([text, volume]) => [text.split(':')[1] ?? '', Object.keys(volume).join()]));
}
