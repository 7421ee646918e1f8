import { create, eru, pb } from '@eru/contract';
import { EruError } from '@eru/kit';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { FakeCore } from './fake-core.suite.ts';
import { id, lister, runCommand, startFakeCore, workload } from './fake-core.suite.ts';

const one = workload('hello_web_aaaaaa', 'a');
const two = workload('hello_web_bbbbbb', 'b', {
  state: 'exited',
  running: false,
  healthy: false,
  exitCode: 137,
  oomKilled: true,
  restarts: 2,
});

let workloads: eru.Workload[] = [];
let deployed: eru.DeployRequest[] = [];
let deployEvents: eru.DeployEvent['event'][] = [];
let removed: string[] = [];
let core: FakeCore;
let spec: string;

beforeAll(async () => {
  core = await startFakeCore({
    core: {
      info: () => Promise.resolve({ version: '9', identifier: 'abc' }),
      listPods: () => Promise.resolve({ pods: [{ name: 'default', desc: 'the first' }] }),
      addPod: () => Promise.reject(new EruError('exists', 'key exists')),
      getNode: ({ nodename }) =>
        Promise.reject(new EruError('not_found', `key: /node/${nodename}: bad \`Count\` value, entity count invalid`)),
      async *listPodNodes() {
        yield {
          name: 'n1',
          podname: 'default',
          available: true,
          endpoint: 'mock://n1',
          resourceCapacity: '{"cpumem":{"cpu":4,"memory":8589934592}}',
          resourceUsage: '{"cpumem":{"cpu":0.5,"memory":134217728}}',
        };
      },
      async *logStream({ id: wanted, tail }) {
        yield { id: wanted, data: Buffer.from(`tail ${tail}\n`), stdStreamType: pb.StdStreamType.STDOUT };
        yield { id: wanted, data: Buffer.from('oops\n'), stdStreamType: pb.StdStreamType.STDERR };
      },
    },
    eru: {
      listWorkloads: lister(() => workloads),
      async *control({ ids, type }) {
        for (const item of ids)
          yield item === id('b') && type === 'stop' ? { id: item, error: 'will not' } : { id: item, success: true };
      },
      async *deploy(request) {
        deployed.push(request);
        for (const event of deployEvents) yield { event };
      },
      plan: () =>
        Promise.resolve({
          ok: false,
          message: 'need: 9, available: 1',
          capacities: { n1: 1n },
          refused: [
            { node: 'n2', kind: 'cpumem', reason: 'free memory', needed: 2 ** 29, free: 2 ** 26, unit: 'bytes' },
          ],
        }),
      async *remove({ ids }) {
        removed.push(...ids);
        for (const item of ids)
          yield { id: item, success: item !== id('b'), error: item === id('b') ? 'the disk is full' : '' };
      },
      async *dumpStore({ prefix }) {
        yield { key: `${prefix}x`, value: '{"a":1}', createRevision: 1n, modRevision: 2n, version: 2n };
      },
    },
  });
  spec = path.join(core.data, 'app.yaml');
  await writeFile(spec, 'appname: hello\npod: default\nentrypoints:\n  web: {cmd: /bin/true}\n');
});

afterAll(() => core.close());

beforeEach(() => {
  workloads = [one, two];
  deployed = [];
  removed = [];
  deployEvents = [];
});

describe('data', () => {
  test('ps -o json has the fields that scripts rely on', async () => {
    const { code, stdout, stderr } = await core.run(['ps', '-o', 'json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const [first, second] = JSON.parse(stdout) as [unknown, unknown];
    const limits = { cpu: 0.25, memory: 67_108_864 };
    expect(first).toMatchObject({
      id: id('a'),
      name: 'hello_web_aaaaaa',
      app: 'hello',
      entrypoint: 'web',
      pod: 'default',
      node: 'n1',
      engine: 'process',
      running: true,
      healthy: true,
      publish: { host: '127.0.0.1:4000' },
      limits: { requested: limits, effective: limits },
      restarts: 0,
      exit_code: 0,
      oom_killed: false,
      started_at: '2023-11-14T22:13:21.000Z',
    });
    expect(second).toMatchObject({ running: false, healthy: false, exit_code: 137, oom_killed: true, restarts: 2 });
  });

  test('limits that are not enforced are null, and what was never reported is empty', async () => {
    workloads = [workload('x_y_z', 'c', { effective: create(eru.LimitsSchema) })];
    const [item] = JSON.parse((await core.run(['ps', '-o', 'json'])).stdout) as [{ limits: unknown }];
    expect(item.limits).toMatchObject({ effective: { cpu: null, memory: null } });
  });

  test('bound cores are shown by name', async () => {
    const bound = create(eru.LimitsSchema, { cpu: 1.5, cpuset: [0, 2] });
    const inEffect = create(eru.LimitsSchema, { cpuset: [0, 2] });
    const known = workload('x_y_z', 'c', { effective: inEffect });
    workloads = [{ ...known, requested: bound }];
    expect((await core.run(['ps'])).stdout).toMatch(/127\.0\.0\.1:4000 +1\.5 on 0,2 +-\/-/);
    workloads = [{ ...workload('x_y_z', 'c', { effective: create(eru.LimitsSchema) }), requested: bound }];
    expect((await core.run(['ps'])).stdout).toContain('1.5 on 0,2/-');
  });

  test('IO limits in effect say what they do not bind', async () => {
    const io = [{ device: '/dev/sda', readBps: 2n ** 20n, readIops: 100n, writeBps: 2n ** 21n, directOnly: true }];
    workloads = [workload('x_y_z', 'c', { effective: create(eru.LimitsSchema, { io }) })];
    const text = '/dev/sda read 1M/s 100 op/s, write 2M/s (direct writes only)';
    expect((await core.run(['describe', 'x_y_z'])).stdout).toContain(text);
    const [item] = JSON.parse((await core.run(['ps', '-o', 'json'])).stdout) as [{ limits: unknown }];
    const plain = { device: '/dev/sda', read_iops: 100, read_bps: 2 ** 20, write_bps: 2 ** 21, direct_only: true };
    expect(item.limits).toMatchObject({ effective: { io: [plain] } });
  });

  test('of a network with two families both addresses are shown, and both published', async () => {
    const addresses = { web: { addresses: ['10.8.0.2', 'fd00::2'] } };
    const status = create(eru.RunStatusSchema, { networks: { web: '10.8.0.2', old: '10.7.0.2' }, addresses });
    const publish = { web: '10.8.0.2:80,[fd00::2]:80' };
    const known = create(eru.WorkloadSchema, { record: { id: id('c'), name: 'x_y_z', publish }, status });
    workloads = [known];
    expect((await core.run(['ps'])).stdout).toContain(' 10.8.0.2:80,[fd00::2]:80 ');
    const [item] = JSON.parse((await core.run(['ps', '-o', 'json'])).stdout) as [unknown];
    expect(item).toMatchObject({ publish, addresses: { old: ['10.7.0.2'], web: ['10.8.0.2', 'fd00::2'] } });
    workloads = [create(eru.WorkloadSchema, { record: { id: id('c'), name: 'x_y_z' }, status })];
    expect((await core.run(['ps'])).stdout).toContain(' 10.7.0.2,10.8.0.2,fd00::2 ');
    expect((await core.run(['describe', 'x_y_z'])).stdout).toContain('web: 10.8.0.2,fd00::2');
  });

  test('an empty list is an empty array', async () => {
    workloads = [];
    expect((await core.run(['ps', '-o', 'json'])).stdout).toBe('[]\n');
    expect((await core.run(['ps', '-o', 'name'])).stdout).toBe('');
  });

  test('the table is plain text without colours when nobody looks', async () => {
    const { stdout } = await core.run(['ps']);
    const [head, first, second] = stdout.split('\n');
    expect(head).toMatch(/^NAME +ID +NODE +STATUS +ADDRESS +CPU +MEMORY +RESTARTS +AGE$/);
    expect(first).toMatch(
      /^hello_web_aaaaaa +aaaaaaaaaaaa +n1 +healthy +127\.0\.0\.1:4000 +0\.25\/0\.25 +64M\/64M +0 +\d+d$/,
    );
    expect(second).toContain('exited (137, out of memory)');
    expect(head?.indexOf('STATUS')).toBe(first?.indexOf('healthy'));
  });

  test('names, yaml, and global options on either side', async () => {
    expect((await core.run(['-o', 'name', 'ps'])).stdout).toBe('hello_web_aaaaaa\nhello_web_bbbbbb\n');
    expect((await core.run(['ps', '-o', 'yaml', 'aaaa'])).stdout).toContain('name: hello_web_aaaaaa\n');
    const { stdout } = await runCommand(['--data', core.data, 'pod', 'ls', '-o', 'json']);
    expect(JSON.parse(stdout)).toEqual([{ name: 'default', description: 'the first' }]);
  });

  test('nodes show what is booked of what there is', async () => {
    expect((await core.run(['node', 'ls'])).stdout).toMatch(/n1 +default +up +0\.5\/4 +128M\/8G +mock:\/\/n1/);
  });

  test('store dump is one JSON line per key', async () => {
    const { stdout } = await core.run(['store', 'dump', 'workloads/']);
    expect(
      stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual([
      { key: 'workloads/x', value: { a: 1 }, create_revision: 1, mod_revision: 2, version: 2, leased: false },
    ]);
  });

  test('logs keep the two streams apart and add nothing', async () => {
    const outcome = await core.run(['logs', '--tail', '5', 'hello_web_aaaaaa']);
    expect(outcome).toEqual({ code: 0, stdout: 'tail 5\n', stderr: 'oops\n' });
  });
});

describe('exit codes', () => {
  test('0 ok, also for help and version', async () => {
    expect(await runCommand(['--version'])).toEqual({ code: 0, stdout: '1.2.3\n', stderr: '' });
    expect((await runCommand(['deploy', '--help'])).stdout).toContain('--memory-request');
    expect(await runCommand(['help', 'pod', 'add'])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Usage: eru pod add /) as string,
    });
  });

  test('1 when some item failed; the others were done', async () => {
    const stopped = await core.run(['stop', 'aaaa', 'hello_web_bbbbbb']);
    expect(stopped).toMatchObject({ code: 1, stdout: '' });
    expect(stopped.stderr).toContain('hello_web_aaaaaa stopped\n');
    expect(stopped.stderr).toContain('hello_web_bbbbbb failed: will not\n');
    expect(await core.run(['rm', 'aaaa', 'bbbb'])).toMatchObject({ code: 1 });
    expect(removed).toEqual([id('a'), id('b')]);
    expect(await core.run(['pod', 'add', 'x'])).toMatchObject({ code: 1, stderr: 'eru: key exists\n' });
  });

  test.each([
    ['an unknown command', ['dploy'], /did you mean deploy/i],
    ['help of an unknown command', ['help', 'pod', 'dd'], /^eru: unknown command 'dd'/],
    ['a bad amount of both', ['realloc', 'aaaa', '--memory', 'x'], /^eru: --memory: "x" is not allowed/],
    ['a bad amount of one', ['realloc', 'aaaa', '--memory-limit', 'x'], /^eru: --memory-limit: "x" is not allowed/],
    ['an unknown option', ['ps', '--al'], /unknown option '--al'/],
    ['a missing argument', ['describe'], /missing required argument 'workload'/],
    ['an unknown format', ['ps', '-o', 'xml'], /Allowed choices are table, json/],
    [
      'a bad size',
      ['deploy', 'app.yaml', '--memory', '-3M'],
      /^eru: --memory: "-3M" is not allowed; a size is 0 or more/,
    ],
    ['a bad label', ['deploy', 'app.yaml', '--label', 'x'], /^eru: --label: "x" is not allowed; write key=value/],
    ['no spec', ['deploy', '/nowhere/app.yaml'], /^eru: \/nowhere\/app\.yaml: there is no such file/],
    ['an empty word', ['rm', ''], /an empty word names no workload/],
    ['exec of nothing', ['exec', 'x'], /missing command/],
    ['-t without a terminal', ['exec', '-t', 'x', 'sh'], /-t wants a terminal/],
    ['a bad tail', ['logs', '--tail', 'few', 'x'], /--tail: "few" is not allowed/],
    ['a bad time', ['logs', '--since', 'noon', 'x'], /--since: "noon" is not allowed/],
  ])('2 for %s', async (_name, argv, message) => {
    const outcome = await core.run(argv);
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr).not.toMatch(/\n +at /);
    expect(deployed).toEqual([]);
  });

  test('3 when it does not fit, with the reason of each node; nothing on standard output', async () => {
    const reason = '  n1: room for 1\n  n2: free memory 64M < 512M\n';
    const planned = await core.run(['plan', spec]);
    expect(planned).toEqual({ code: 3, stdout: '', stderr: `eru: need: 9, available: 1\n${reason}` });
    const explained = await core.run(['plan', spec, '-o', 'json']);
    expect(explained.code).toBe(3);
    expect(JSON.parse(explained.stdout)).toMatchObject({ ok: false, refused: [{ node: 'n2', needed: 2 ** 29 }] });
    const value = {
      ok: false,
      message: 'none',
      refused: [],
      instances: [],
      capacities: {},
    } as unknown as eru.PlanResult;
    deployEvents = [{ case: 'refused', value }];
    expect(await core.run(['deploy', spec])).toMatchObject({ code: 3, stdout: '', stderr: 'eru: none\n' });
  });

  test('plan --explain asks for the reasons, and shows them', async () => {
    const asked: boolean[] = [];
    const explaining = await startFakeCore({
      eru: {
        plan: ({ explain }) => {
          asked.push(explain);
          return Promise.resolve({
            ok: true,
            instances: [{ node: 'n1' }],
            total: 2n ** 63n - 1n,
            capacities: { n1: 2n ** 63n - 1n },
            refused: [{ node: 'n2', kind: 'affinity', reason: 'no node label zone', needed: 1, free: 0, unit: 'none' }],
            choices: [
              { node: 'n1', instances: 1n, count: 4n, capacity: 2n ** 63n - 1n, usage: 0.5, rate: 0, preference: 7 },
            ],
          });
        },
      },
    });
    try {
      const { code, stdout, stderr } = await explaining.run(['plan', spec, '--explain']);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: 'n2: no node label zone\n1 of any number that fit; nothing was booked\n',
      });
      expect(stdout.split('\n')[1]?.split(/ {2,}/u)).toEqual(['n1', '1', 'any number', '4', '50.0%', '0.0%', '7']);
      expect(asked).toEqual([true]);
    } finally {
      await explaining.close();
    }
  });

  test('4 for what is not there, before anything is touched', async () => {
    const outcome = await core.run(['rm', 'aaaa', 'nobody']);
    expect(outcome).toEqual({ code: 4, stdout: '', stderr: 'eru: no workload is called nobody\n' });
    expect(removed).toEqual([]);
    const node = await core.run(['node', 'get', 'n9']);
    expect(node).toEqual({ code: 4, stdout: '', stderr: 'eru: no node is called n9\n' });
  });

  test('5 for a dead address, a wrong credential and none', async () => {
    const dead = await runCommand(['ps', '--eru', `127.0.0.1:${await freePort()}`, '--data', '/nonexistent']);
    expect(dead).toMatchObject({ code: 5, stdout: '' });
    expect(dead.stderr).toMatch(/^eru: no answer from Eru at 127\.0\.0\.1:\d+: ECONNREFUSED; .*`eru up`.*\n$/);
    const wrong = await core.run(['ps', '--username', 'eru', '--password', 'no']);
    expect(wrong).toMatchObject({ code: 5, stdout: '' });
    expect(wrong.stderr).toContain('refused: invalid grpc password');
    const none = await runCommand(['ps', '--data', '/nonexistent'], { env: { ERU: core.address } });
    expect(none).toMatchObject({ code: 5, stdout: '' });
    expect(none.stderr).toContain('found no credential in /nonexistent');
  });

  test('130 when the user interrupts', async () => {
    expect(await core.run(['ps'], { signal: AbortSignal.abort() })).toMatchObject({ code: 130 });
  });
});

describe('deploy', () => {
  const done = { success: true, id: id('a'), name: 'hello_web_aaaaaa', nodename: 'n1' } as pb.CreateWorkloadMessage;

  test('tells each step, shows what runs, and sends what the flags say', async () => {
    deployEvents = [
      { case: 'progress', value: { name: 'hello_web_aaaaaa', node: 'n1', step: 'created' } as eru.Progress },
      { case: 'done', value: done },
    ];
    const { code, stdout, stderr } = await core.run(['deploy', spec, '--wait', '--count', '3', '--env', 'A=1,2']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'hello_web_aaaaaa created on n1\nhello_web_aaaaaa started on n1\nhello_web_aaaaaa is healthy\n',
    );
    expect(stdout).toContain('hello_web_aaaaaa   aaaaaaaaaaaa');
    expect(stdout).not.toContain('bbbbbb');
    expect(deployed[0]?.options).toMatchObject({ count: 3, env: ['A=1,2'], entrypoint: { commands: ['/bin/true'] } });
  });

  test('1 when one instance failed, and when waiting for health is hopeless', async () => {
    const failed = { success: false, name: 'hello_web_cccccc', nodename: 'n1', error: 'no such program' };
    deployEvents = [
      { case: 'done', value: done },
      { case: 'done', value: failed as pb.CreateWorkloadMessage },
    ];
    const partly = await core.run(['deploy', spec, '-o', 'name']);
    expect(partly).toMatchObject({ code: 1, stdout: 'hello_web_aaaaaa\n' });
    expect(partly.stderr).toContain('hello_web_cccccc failed: no such program');
    const undone = { name: 'hello_web_cccccc', node: 'n1', step: 'undone' };
    deployEvents = [
      { case: 'done', value: failed as pb.CreateWorkloadMessage },
      { case: 'progress', value: undone as eru.Progress },
    ];
    const none = { code: 1, stdout: '', stderr: 'hello_web_cccccc failed: no such program\n' };
    expect(await core.run(['deploy', spec])).toEqual(none);
    expect(await core.run(['deploy', spec, '-o', 'json'])).toEqual({ ...none, stdout: '[]\n' });
    deployEvents = [{ case: 'done', value: { ...done, id: id('b') } }];
    const hopeless = await core.run(['deploy', spec, '--wait']);
    expect(hopeless.code).toBe(1);
    expect(hopeless.stderr).toContain('eru: hello_web_bbbbbb exited with 137 (out of memory); see: eru logs');
  });
});

async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
