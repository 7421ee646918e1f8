import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isJsonObject, type Json, type JsonObject } from '@eru/kit';
import { builtinKinds, type KindDefinition } from '@eru/scheduler';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defineKind } from './amounts-kind.ts';
import { combine, difference, leaves } from './arithmetic.ts';
import { NodeFiles } from './node-files.ts';
import { servedKind, type ServedKind } from './planner.ts';
import { serve } from './serve.ts';

let folder: string;
let files: NodeFiles;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-serve-'));
  files = await NodeFiles.open(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const seats = servedKind(defineKind({ name: 'seats', amounts: { a: { default: '1K' }, b: {} } }));

async function call(command: string, request: JsonObject, served: ServedKind = seats): Promise<JsonObject> {
  return JSON.parse(await serve(served, files, command, JSON.stringify(request))) as JsonObject;
}

const changed = { nodename: 'n1', resource: null, resource_request: null, delta: true, incr: true };

describe('capacity is set', () => {
  beforeEach(() => call('add-node', { nodename: 'n1', resource: { a: 10, b: 4 }, info: null }));

  test.each<[string, JsonObject, JsonObject]>([
    ['a request replaces what it names', { resource_request: { a: 7 }, delta: false }, { a: 7, b: 4 }],
    ['a resource replaces all', { resource: { b: 1 }, delta: false }, { b: 1 }],
    ['a request is added', { resource_request: { a: '1K' } }, { a: 1034, b: 4 }],
    ['a request is subtracted', { resource_request: { a: 3 }, incr: false }, { a: 7, b: 4 }],
    ['a resource is added', { resource: { b: 2 } }, { a: 10, b: 6 }],
    ['a resource is subtracted', { resource: { b: 2 }, incr: false }, { a: 10, b: 2 }],
    ['a request wins over a resource', { resource: { a: 1 }, resource_request: { b: 1 } }, { a: 10, b: 5 }],
    ['what replaces is never subtracted', { resource: { a: 2 }, delta: false, incr: false }, { a: 2 }],
    ['nothing is added', {}, { a: 10, b: 4 }],
    ['nothing replaces all', { delta: false }, {}],
  ])('%s', async (_rule, request, after) => {
    const answer = await call('set-node-resource-capacity', { ...changed, ...request });
    expect(answer).toEqual({ before: { a: 10, b: 4 }, after });
    expect((await call('get-node-resource-info', { nodename: 'n1', workloads_resource: null }))['capacity']).toEqual(
      after,
    );
  });

  test('less than nothing is refused', async () => {
    const request = { ...changed, resource: { a: 11 }, incr: false };
    await expect(call('set-node-resource-capacity', request)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('usage is set', () => {
  beforeEach(async () => {
    await call('add-node', { nodename: 'n1', resource: { a: 10, b: 4 }, info: null });
    await call('set-node-resource-info', { nodename: 'n1', capacity: { a: 10, b: 4 }, usage: { a: 3, b: 1 } });
  });

  test.each<[string, JsonObject, JsonObject]>([
    ['workloads are added', { workloads_resource: [{ a: 1 }, { a: 2, b: 3 }] }, { a: 6, b: 4 }],
    ['workloads are subtracted', { workloads_resource: [{ a: 1 }, { b: 1 }], incr: false }, { a: 2, b: 0 }],
    ['workloads replace', { workloads_resource: [{ a: 1 }], delta: false }, { a: 1, b: 0 }],
    ['a resource wins over workloads', { workloads_resource: [{ a: 1 }], resource: { b: 1 } }, { a: 3, b: 2 }],
    ['a resource replaces', { resource: { a: 9, b: 0 }, delta: false }, { a: 9, b: 0 }],
    [
      'a request wins over all',
      { workloads_resource: [{ a: 1 }], resource: { b: 1 }, resource_request: { a: 5 } },
      { a: 8, b: 1 },
    ],
    ['nothing is added', { workloads_resource: null }, { a: 3, b: 1 }],
    ['nothing replaces all', { delta: false }, { a: 0, b: 0 }],
  ])('%s', async (_rule, request, after) => {
    expect(await call('set-node-resource-usage', { ...changed, workloads_resource: null, ...request })).toEqual({
      before: { a: 3, b: 1 },
      after,
    });
  });

  test('to no more than there is', async () => {
    const request = { ...changed, workloads_resource: [{ b: 4 }] };
    await expect(call('set-node-resource-usage', request)).rejects.toMatchObject({
      code: 'no_capacity',
      message: 'b: 5 used of 4: cannot alloc a plan, not enough resource',
    });
  });

  test('and repaired; differences are those from before', async () => {
    const repair = { nodename: 'n1', workloads_resource: [{ a: 1 }] };
    const diffs = [
      'node.seats[a] != sum(workload.seats[a]): 3 != 1',
      'node.seats[b] != sum(workload.seats[b]): 1 != 0',
    ];
    expect(await call('fix-node-resource', repair)).toEqual({
      capacity: { a: 10, b: 4 },
      usage: { a: 1, b: 0 },
      diffs,
    });
    expect(await call('fix-node-resource', repair)).toMatchObject({ diffs: [] });
  });
});

test('what a machine has is what a node has, unless the request says more', async () => {
  const info = { NCPU: 1, Resources: { seats: btoa('{"b":8}') } };
  expect(await call('add-node', { nodename: 'n1', resource: { a: 2 }, info })).toEqual({
    capacity: { a: 2, b: 8 },
    usage: { a: 0, b: 0 },
  });
  expect(await call('add-node', { nodename: 'n2', resource: null, info: null })).toMatchObject({
    capacity: { a: 1024, b: 0 },
  });
  await expect(call('add-node', { nodename: 'n2', resource: null, info: null })).rejects.toMatchObject({
    code: 'exists',
    message: 'node already exists',
  });
  expect(await call('remove-node', { nodename: 'n2' })).toEqual({});
  expect(await call('remove-node', { nodename: 'n2' })).toEqual({});
});

test('the idlest node is the one of which least is used', async () => {
  for (const [nodename, used] of [
    ['n1', 5],
    ['n2', 1],
    ['n3', 9],
  ] as const)
    await call('set-node-resource-info', { nodename, capacity: { a: 10 }, usage: { a: used } });
  expect(await call('get-most-idle-node', { nodenames: ['n1', 'n2', 'n3'] })).toEqual({
    nodename: 'n2',
    priority: 100,
  });
});

test.each(['[]', '{"capacity": {'])('a record that is no record is an error, not an empty node: %s', async (text) => {
  await writeFile(path.join(folder, 'n1.json'), text);
  await expect(call('get-node-resource-info', { nodename: 'n1' })).rejects.toMatchObject({
    message: expect.stringContaining('n1.json is no record of a node'),
  });
});

test('no answer lists more instances than can be written', async () => {
  await call('add-node', { nodename: 'n1', resource: { a: 2 }, info: null });
  const request = { nodename: 'n1', deploy_count: 100_001, workload_resource_request: {} };
  await expect(call('calculate-deploy', request)).rejects.toMatchObject({
    message: 'deploy_count: 100001: the most in one request are 100000',
  });
});

test('names of nodes cannot leave the folder', async () => {
  const nodename = '../../n1';
  await call('add-node', { nodename, resource: { a: 1 }, info: null });
  expect(await readFile(path.join(folder, '..%2F..%2Fn1.json'), 'utf8')).toBe(
    '{"capacity":{"a":1,"b":0},"usage":{"a":0,"b":0}}\n',
  );
});

describe('a kind whose bookings are names, not amounts', () => {
  /** Usage is the set of device names. */
  const devices: KindDefinition = (settings) => {
    const base = defineKind({ name: 'devices' })(settings);
    const names = (part: JsonObject): Json[] => (Array.isArray(part['names']) ? part['names'] : []);
    return {
      ...base,
      realloc: (_state, _current, delta) => ({ resources: { names: names(delta) }, engineParams: {} }),
      book(usage, add, subtract) {
        const gone = new Set(subtract.flatMap(names));
        return { names: [...names(usage).filter((name) => !gone.has(name)), ...add.flatMap(names)] };
      },
      overruns: () => [],
    };
  };

  test('is reallocated exactly, and back', async () => {
    const served = servedKind(devices);
    await call('set-node-resource-info', { nodename: 'n1', capacity: {}, usage: { names: ['gpu0', 'gpu1'] } }, served);
    const { delta_resource: delta, ...rest } = await call(
      'calculate-realloc',
      {
        nodename: 'n1',
        workload_resource: { names: ['gpu1'] },
        workload_resource_request: { names: ['gpu2', 'gpu3'] },
      },
      served,
    );
    expect(rest).toEqual({ engine_params: {}, workload_resource: { names: ['gpu2', 'gpu3'] } });
    expect(isJsonObject(delta) && delta['eru-change']).toBeTruthy();
    const book = async (incr: boolean): Promise<Json | undefined> =>
      (await call('set-node-resource-usage', { ...changed, incr, workloads_resource: [delta as Json] }, served))[
        'after'
      ];
    expect(await book(true)).toEqual({ names: ['gpu0', 'gpu2', 'gpu3'] });
    expect(await book(false)).toEqual({ names: ['gpu0', 'gpu1'] });
  });
});

test('the difference of amounts, added to the old, is the new', () => {
  const amount = fc.integer({ min: -(2 ** 20), max: 2 ** 20 }).map((value) => value / 1000);
  const map = fc.dictionary(fc.constantFrom('0', '1', '2'), amount);
  const amounts = fc.record({ cpu: amount, memory: amount, cpu_map: map }, { requiredKeys: [] });
  const nonZero = (resources: JsonObject): [string, number][] => leaves(resources).filter(([, value]) => value !== 0);
  fc.assert(
    fc.property(amounts, amounts, (old, now) => {
      const sum = combine(old, difference(now, old), 1);
      expect(new Map(nonZero(sum))).toEqual(new Map(nonZero(now)));
    }),
    { seed: 20_262, numRuns: 200 },
  );
  expect(difference({ cpu_map: { 0: 100, 1: 50 }, cpu: 1.5, numa: 'x' }, { cpu_map: { 1: 100 }, cpu: 1 })).toEqual({
    cpu_map: { 0: 100, 1: -50 },
    cpu: 0.5,
    numa: 'x',
  });
  const disk = (device: string, iops: number): JsonObject => ({ device, mounts: [`/${device}`], iops });
  const disks = { disks: [disk('sda', 5), disk('sdb', 1)] };
  expect(difference(disks, { disks: [disk('sda', 7), disk('sdc', 3)] })).toEqual({
    disks: [disk('sda', -2), disk('sdb', 1), disk('sdc', -3)],
  });
  expect(combine(disks, { disks: [disk('sdb', 4), disk('sdc', 3)] }, 1)).toEqual({
    disks: [disk('sda', 5), disk('sdb', 5), disk('sdc', 3)],
  });
  expect(difference({ cpu_map: null }, { cpu_map: { 1: 100 } })).toEqual({ cpu_map: { 1: -100 } });
});

test('every built-in kind can be served', async () => {
  for (const definition of builtinKinds()) {
    const served = servedKind(definition);
    expect(await serve(served, files, 'name', '')).toBe(JSON.stringify(served.kind.name));
    expect(JSON.parse(await serve(served, files, 'get-metrics-description', '{}'))).toEqual(
      served.kind.metricDescriptions,
    );
  }
});
