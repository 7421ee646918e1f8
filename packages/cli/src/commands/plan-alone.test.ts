import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { runCommand } from '../fake-core.suite.ts';

const mib = 1024 ** 2;
const cores = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, core) => [core, 100]));

const nodes = [
  {
    name: 'n2',
    labels: { zone: 'east' },
    capacity: { cpumem: { cpu: 4, cpu_map: cores(4), memory: 1024 * mib, numa: {}, numa_memory: {} } },
    usage: { cpumem: { cpu: 1, cpu_map: {}, memory: 512 * mib, numa: {}, numa_memory: {} } },
  },
  {
    name: 'n1',
    labels: { zone: 'west' },
    capacity: { cpumem: { cpu: 2, cpu_map: cores(2), memory: 256 * mib } },
    workloads: [
      {
        labels: { app: 'hello', entrypoint: 'web' },
        resources: { cpumem: { cpu_request: 0.5, memory_request: 128 * mib } },
      },
    ],
  },
  { name: 'n3', capacity: { cpumem: { cpu: 1, cpu_map: cores(1), memory: mib } } },
];
const request = {
  resources: { cpumem: { 'cpu-request': 1, 'memory-request': 128 * mib } },
  count: 3,
  strategy: 'AUTO',
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-plan-'));
});

afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: unknown): Promise<string> {
  const full = path.join(folder, name);
  await writeFile(full, typeof content === 'string' ? content : JSON.stringify(content));
  return full;
}

async function plan(asked: unknown, on: unknown, ...flags: string[]) {
  return runCommand(['plan', await file('request', asked), '--nodes', await file('nodes.json', on), ...flags]);
}

const resources = {
  cpumem: {
    cpu_request: 1,
    cpu_limit: 0,
    memory_request: 128 * mib,
    memory_limit: 0,
    cpu_map: null,
    numa_memory: null,
    numa_node: '',
  },
  affinity: { labels: {} },
};
const engineParams = { cpumem: { cpu: 0, cpu_map: null, numa_node: '', memory: 0, remap: false }, affinity: {} };

describe('without a cluster', () => {
  test('the answer, to the byte, whatever the order of the nodes', async () => {
    const { code, stdout, stderr } = await plan(request, nodes, '-o', 'json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      instances: ['n1', 'n2', 'n2'].map((node) => ({ node, resources, engine_params: engineParams })),
      capacity: { total: 5, nodes: { n1: 1, n2: 4 } },
      refused: [{ node: 'n3', kind: 'cpumem', reason: 'free memory', needed: 128 * mib, free: mib, unit: 'bytes' }],
    });
    expect((await plan(request, nodes.toReversed(), '-o', 'json')).stdout).toBe(stdout);
  });

  test('3 when it does not fit: the whole answer as data, the reason for people', async () => {
    const { code, stdout, stderr } = await plan({ ...request, count: 9 }, nodes, '-o', 'json');
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ instances: [], capacity: { total: 5 }, refused: [{ node: 'n3' }] });
    const reason = 'need: 9, available: 5: cannot alloc a plan, not enough resource';
    expect(stderr).toBe(`eru: ${reason}\n  n1: room for 1\n  n2: room for 4\n  n3: free memory 1M < 128M\n`);
    expect(await plan({ ...request, count: 9 }, nodes)).toEqual({ code, stdout: '', stderr });
    expect(await plan({ ...request, count: 3 }, nodes, '--count', '9')).toEqual({ code, stdout: '', stderr });
    expect(await plan(request, [], '-o', 'name')).toMatchObject({ code: 3 });
  });

  test('a spec: existing instances count, and --explain says why', async () => {
    const spec = 'appname: hello\nentrypoints:\n  web: {cmd: /bin/true}\ncount: 3\nmemory: 64M\ncpu: 0.5\n';
    const { code, stdout, stderr } = await plan(spec, nodes, '--explain');
    expect(code).toBe(0);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/u))).toEqual([
      ['NODE', 'INSTANCES', 'ROOM FOR', 'OF THIS APP', 'USED', 'BY EACH', 'PREFERENCE'],
      ['n1', '1', '2', '1', '16.7%', '8.3%', '0'],
      ['n2', '2', '8', '0', '16.7%', '2.1%', '0'],
      [''],
    ]);
    expect(stderr).toBe('n3: free memory 1M < 64M\n3 of 10 that fit; nothing was booked\n');
    const json = await plan(spec, nodes, '--explain', '-o', 'json', '--nodelabel', 'zone=west', '--count', '1');
    expect(JSON.parse(json.stdout)).toMatchObject({
      choices: [{ node: 'n1', instances: 1, count: 1, capacity: 2, preference: 0 }],
      explanation: [],
    });
    const only = await plan(spec, nodes, '--node', 'n2', '-o', 'name');
    expect(only).toEqual({ code: 0, stdout: 'n2\n', stderr: '' });
    expect(await plan(spec, nodes, '--node', 'n9')).toMatchObject({ code: 4 });
  });
});

const one = { name: 'a', capacity: { cpumem: { cpu_map: { 0: 100 }, memory: 5 } } };
const withCapacity = (cpumem: unknown): unknown => [{ name: 'a', capacity: { cpumem } }];

test.each([
  ['no JSON', request, '[', /nodes\.json: this is no JSON/],
  ['no list', request, {}, /nodes\.json: nodes: \{\} is not allowed; write a list of nodes/],
  ['an unknown key', request, [{ nam: 'a' }], /\[0\]\.nam: "a" is not allowed; the keys are name, labels/],
  ['a name twice', request, [one, one], /\[1\]\.name: "a" is not allowed; give each node a name of its own/],
  [
    'a label that is no text',
    request,
    [{ ...one, labels: { rack: 7 } }],
    /\[0\]\.labels\.rack: 7 is not allowed; write a text/,
  ],
  ['less than nothing', request, withCapacity({ cpu_map: { 0: 100 }, memory: -5 }), /\[0\]: cpumem memory: -5/],
  [
    'text for a number',
    request,
    withCapacity({ cpu_map: { 0: 100 }, memory: '5G' }),
    /memory: "5G" is not allowed; it is read as 0/,
  ],
  [
    'an unknown amount',
    request,
    withCapacity({ cpu_map: { 0: 100 }, mem: 5 }),
    /cpumem\.mem: 5 is not allowed; the keys are/,
  ],
  [
    'more used than there is',
    request,
    [{ ...one, usage: { cpumem: { cpu_map: { 0: 101 } } } }],
    /core 0: 101 used of 100/,
  ],
  ['a workload that is none', request, [{ ...one, workloads: [7] }], /\[0\]\.workloads\[0\]: 7 is not allowed/],
  [
    'an unknown key of the request',
    { ...request, node_limit: 1 },
    [one],
    /request: node_limit: 1 is not allowed; the keys are/,
  ],
  [
    'an unknown strategy',
    { ...request, strategy: 'BEST' },
    [one],
    /strategy: "BEST" is not allowed; write one of AUTO, FILL/,
  ],
  ['a count of nothing', { ...request, count: 0 }, [one], /count: 0 is not allowed; write a whole number from 1/],
  [
    'an unknown kind',
    { resources: { tape: { n: 1 } } },
    [one],
    /resources: nothing reads tape; the resource kinds are cpumem/,
  ],
  [
    'too many instances for one answer',
    { ...request, count: 50_001, strategy: 'EACH', nodes_limit: 2 },
    [one],
    /count: 50001 is not allowed; the most in one request are 100000 on all nodes/,
  ],
  [
    'a size where a number is read',
    { resources: { cpumem: { 'memory-request': '10G' } } },
    [one],
    /resources\.cpumem\.memory-request: "10G" is not allowed; write a number/,
  ],
  ['a wrong request', { resources: { cpumem: { 'cpu-request': -1 } } }, [one], /cpumem cpu-request: -1 is not allowed/],
])('2 for %s, with the place, the value and the remedy', async (_name, asked, on, message) => {
  const outcome = await plan(asked, on);
  expect(outcome).toMatchObject({ code: 2, stdout: '' });
  expect(outcome.stderr).toMatch(message);
});

test('2 for an option that only a spec can have', async () => {
  const outcome = await plan(request, nodes, '--memory', '1G');
  expect(outcome).toEqual({
    code: 2,
    stdout: '',
    stderr: 'eru: --memory: is for specs; write it into the resources of the request\n',
  });
});
