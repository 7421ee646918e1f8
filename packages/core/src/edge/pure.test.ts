import { describe, expect, test } from 'vitest';

import type { WorkloadRecord } from '../state/records.ts';
import { readInput } from './core-rpc/exec-methods.ts';
import { findWorkloads } from './find-workloads.ts';
import { Latest } from './latest.ts';
import { Lines } from './wire/lines.ts';
import { readMoment, readTail } from './wire/log-times.ts';
import { engineInfoText, nodeAddress } from './wire/node.ts';
import { readResources, readResourcesStrictly } from './wire/resources-json.ts';
import { published } from './wire/workload.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (lines: Uint8Array[]): string[] => lines.map((line) => new TextDecoder().decode(line));

describe('lines', () => {
  test('come whole, over any number of pieces; the last gets its newline', () => {
    const lines = new Lines();
    expect(texts(lines.push(bytes('a\nb')))).toEqual(['a\n']);
    expect(texts(lines.push(bytes('c')))).toEqual([]);
    expect(texts(lines.push(bytes('\n\nd')))).toEqual(['bc\n', '\n']);
    expect(texts(lines.end())).toEqual(['d\n']);
    expect(lines.end()).toEqual([]);
  });

  test('that never end are given in pieces', () => {
    const lines = new Lines();
    const [piece] = lines.push(new Uint8Array(64 * 1024).fill(0x61));
    expect(piece).toHaveLength(64 * 1024);
    expect(lines.end()).toEqual([]);
  });
});

describe('interactive input', () => {
  test('is a size, the end, or bytes', () => {
    expect(readInput(Buffer.concat([Uint8Array.of(0x80), bytes('{"Row":5,"Col":7}')]))).toEqual({
      type: 'resize',
      size: { rows: 5, cols: 7 },
    });
    expect(readInput(Uint8Array.of(0x1d))).toEqual({ type: 'close' });
    expect(readInput(bytes('ls\n'))).toEqual({ type: 'data', data: bytes('ls\n') });
  });

  test('that begins like a size and is none is dropped', () => {
    expect(readInput(Buffer.concat([Uint8Array.of(0x80), bytes('{"Row":')]))).toEqual({
      type: 'data',
      data: new Uint8Array(),
    });
  });
});

describe('log times', () => {
  const now = Date.parse('2026-01-31T12:00:00Z');

  test.each([
    ['', undefined],
    ['42m', now - 42 * 60_000],
    ['1h30m', now - 90 * 60_000],
    ['1769860800', 1_769_860_800_000],
    ['1769860800.5', 1_769_860_800_500],
    ['2026-01-31T11:00:00Z', now - 3_600_000],
  ])('%j', (text, ms) => expect(readMoment('since', text, now)).toBe(ms));

  test.each(['yesterday', '2026-13-41', '-5m'])('%j is refused', (text) => {
    expect(() => readMoment('since', text, now)).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringContaining('since') }),
    );
  });

  test('tail', () => {
    expect([readTail('all'), readTail(''), readTail('5'), readTail('0')]).toEqual([undefined, undefined, 5, 0]);
    expect(() => readTail('-1')).toThrow('tail');
  });
});

describe('the latest of each key', () => {
  test('replaces what waits', async () => {
    const latest = new Latest<string>(10);
    latest.set('a', 'a1');
    latest.set('b', 'b1');
    latest.set('a', 'a2');
    expect([(await latest.next()).value, (await latest.next()).value]).toEqual(['b1', 'a2']);
    const waiting = latest.next();
    latest.set('c', 'c1');
    expect(await waiting).toEqual({ value: 'c1', done: false });
  });

  test('ends past its bound', async () => {
    const latest = new Latest<string>(2);
    for (const key of ['a', 'b', 'c']) latest.set(key, key);
    expect((await latest.next()).done).toBe(true);
  });
});

describe('words for workloads', () => {
  const record = (id: string, name: string): WorkloadRecord => ({ id, name }) as WorkloadRecord;
  const records = [record('abc1', 'app_web_x'), record('abd2', 'app_web_y'), record('abc', 'app_web_z')];
  const find = (...words: string[]): string[] => findWorkloads(records, words).map(({ id }) => id);

  test('are names, ids or the beginnings of ids; each workload once', () => {
    expect(find('app_web_y', 'abc1', 'abd', 'abc')).toEqual(['abd2', 'abc1', 'abc']);
  });

  test.each([['zz'], ['ab'], ['']])('%j is not one workload', (word) => {
    expect(() => find(word)).toThrow(
      expect.objectContaining({ code: 'not_found', message: expect.stringContaining(JSON.stringify(word)) }),
    );
  });
});

test('the word of an app is told from one of nothing', () => {
  const record = { id: 'abc', name: 'shop_web_x', app: 'shop' } as WorkloadRecord;
  expect(() => findWorkloads([record], ['shop'])).toThrow('`eru ps --app shop` lists its workloads');
});

describe('resource requests', () => {
  const wire = { cpumem: bytes('{"cpu":1}'), storage: bytes('[1]'), gpu: bytes('{') };

  test('that are no objects are dropped and told', () => {
    const bad: string[] = [];
    expect(readResources(wire, (kind) => bad.push(kind))).toEqual({ cpumem: { cpu: 1 } });
    expect(bad).toEqual(['storage', 'gpu']);
  });

  test('are refused by a strict reader, and so is what no kind reads', () => {
    expect(() => readResourcesStrictly(wire, () => [])).toThrow('resources.storage: "[1]"');
    expect(() => readResourcesStrictly({ cpumem: bytes('{"cpus":1}') }, () => ['cpumem.cpus'])).toThrow('cpumem.cpus');
  });
});

test('published ports stand under each network, names by what was chosen for them', () => {
  const networks = { host: '10.0.0.5', calico: '10.1.0.7/16', both: '10.8.0.2,fd00::2', none: '' };
  expect(published(networks, ['http', '9000', 'unknown'], { http: 31_000 })).toEqual({
    host: '10.0.0.5:31000,10.0.0.5:9000',
    calico: '10.1.0.7:31000,10.1.0.7:9000',
    both: '10.8.0.2:31000,10.8.0.2:9000,[fd00::2]:31000,[fd00::2]:9000',
  });
  expect(published({}, ['80'], {})).toEqual({});
});

test.each([
  ['tcp://10.0.0.9:2376', '10.0.0.9'],
  ['tcp://[fd00::9]:2376', 'fd00::9'],
  ['virt-grpc://vm.host:1234', 'vm.host'],
  ['unix:///run/eru.sock', '127.0.0.1'],
  ['mock://n1', '127.0.0.1'],
])('workloads on the host network of %s are at %s', (endpoint, address) => expect(nodeAddress(endpoint)).toBe(address));

test('engine info has the original names, and resources in base64', () => {
  const info = {
    type: 'process',
    id: 'm',
    cpus: 4,
    memoryBytes: 8,
    storageBytes: 16,
    resources: {},
    offers: [],
    missing: [],
  };
  expect(JSON.parse(engineInfoText(info))).toEqual({
    Type: 'process',
    ID: 'm',
    NCPU: 4,
    MemTotal: 8,
    StorageTotal: 16,
    Resources: null,
  });
  const { Resources } = JSON.parse(engineInfoText({ ...info, resources: { gpu: { a: 1 } } })) as {
    Resources: { gpu: string };
  };
  expect(Buffer.from(Resources.gpu, 'base64').toString()).toBe('{"a":1}');
});
