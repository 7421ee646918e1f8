import { create, eru } from '@eru/contract';
import { EruError } from '@eru/kit';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { FakeCore } from './fake-core.suite.ts';
import { id, lister, startFakeCore, workload } from './fake-core.suite.ts';

const one = workload('hello_web_aaaaaa', 'a');
const dead = 'b'.repeat(16);
const removing = create(eru.OperationSchema, {
  id: 'removeoperation1',
  kind: 'remove',
  detail: 'stop first',
  owner: 'c'.repeat(16),
  ownerAddress: '10.0.0.2:5001',
  ownerAlive: true,
  workload: id('a'),
  name: 'hello_web_aaaaaa',
  node: 'n1',
  step: 'removing',
  hooks: ['stopHooks'],
  takeovers: [
    { from: dead, by: 'c'.repeat(16), at: 1_700_000_000_000n, did: 'removing: repeated; ran before: stopHooks' },
  ],
  createdAt: BigInt(Date.now() - 65_000),
});
const creating = create(eru.OperationSchema, {
  id: 'createoperation1',
  kind: 'create',
  detail: 'AUTO 3',
  owner: dead,
  name: 'hello_web',
  slots: [
    { name: 'hello_web_x', node: 'n1', step: 'recorded', id: id('x') },
    { name: 'hello_web_y', node: 'n2', step: 'reserved' },
    { name: 'hello_web_z', node: 'n2', step: 'reserved' },
  ],
  createdAt: BigInt(Date.now() - 5000),
});

let listed: eru.ListOperationsRequest[] = [];
let reallocs: eru.ReallocRequest[] = [];
let refusal: EruError | undefined;
let replaces: eru.ReplaceRequest[] = [];
let deploys: eru.DeployRequest[] = [];
let runs: eru.RunOpen[] = [];
let controls: eru.ControlRequest[] = [];
let core: FakeCore;
let spec: string;

beforeAll(async () => {
  core = await startFakeCore({
    eru: {
      async *control(request) {
        controls.push(request);
        yield { id: id('a'), success: true };
      },
      async *dissociate({ ids }) {
        for (const one of ids) yield { id: one, success: true };
      },
      listWorkloads: lister(() => [one]),
      async *listOperations(request) {
        listed.push(request);
        yield removing;
        yield creating;
      },
      getOperation: ({ id: wanted }) => {
        const found = [removing, creating].find((operation) => operation.id.startsWith(wanted));
        return found === undefined
          ? Promise.reject(new EruError('not_found', `no operation ${wanted}`))
          : Promise.resolve(found);
      },
      async *watchOperations() {
        yield { event: { case: 'changed', value: removing } };
        yield { event: { case: 'listed', value: true } };
        yield { event: { case: 'ended', value: { ...removing, endedAt: 1n } } };
      },
      realloc: (request) => {
        reallocs.push(request);
        if (refusal !== undefined) return Promise.reject(refusal);
        return Promise.resolve({ resources: '{}' });
      },
      async *replace(request) {
        replaces.push(request);
        yield {
          oldId: id('a'),
          oldName: one.record?.name ?? '',
          success: true,
          created: { id: id('a'), name: 'new', nodename: 'n1' },
        };
        yield { oldId: id('b'), oldName: 'second', error: 'not healthy', success: false };
        yield { oldId: id('c'), oldName: 'third', error: 'not begun, because an earlier one failed', skipped: true };
      },
      async *run(requests) {
        const iterator = requests[Symbol.asyncIterator]();
        const first = await iterator.next();
        if (first.done === true || first.value.request.case !== 'open') return;
        const open = first.value.request.value;
        runs.push(open);
        yield { response: { case: 'created', value: { id: 'one', name: 'lambda_job_x', node: 'n1' } } };
        if (open.asynchronous) return;
        if (open.options?.openStdin === true) {
          for (;;) {
            const next = await iterator.next();
            if (next.done === true || next.value.request.case !== 'stdin') break;
            yield { response: { case: 'output', value: { id: 'one', data: next.value.request.value } } };
          }
        }
        yield { response: { case: 'output', value: { id: 'one', data: Buffer.from('oops\n'), stderr: true } } };
        if (open.options?.name === 'lambda' && open.options.count === 2) return;
        yield { response: { case: 'exited', value: { id: 'one', exitCode: 7 } } };
      },
      async *deploy(request) {
        deploys.push(request);
        yield { event: { case: 'planned', value: { ok: true, operation: 'op' } } };
      },
    },
  });
  spec = path.join(core.data, 'app.yaml');
  await writeFile(spec, 'appname: hello\npod: default\nentrypoints:\n  web:\n    commands: [/bin/server]\n');
});
afterAll(() => core.close());
beforeEach(() => {
  [listed, reallocs, replaces, deploys, controls, runs] = [[], [], [], [], [], []];
  refusal = undefined;
});

describe('op', () => {
  test('ls shows who does what, how far it is, and what a takeover did', async () => {
    const { code, stdout } = await core.run(['op', 'ls']);
    expect(code).toBe(0);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]).toMatch(/^ID +KIND +WHAT +NODE +STEP +OWNER +AGE +TAKEN OVER$/);
    expect(lines[1]).toMatch(
      /^removeoperation1 +remove \(stop first\) +hello_web_aaaaaa +n1 +removing +10\.0\.0\.2:5001 +\w+ +removing: repeated; ran before: stopHooks$/,
    );
    expect(lines[2]).toMatch(
      /^createoperation1 +create \(AUTO 3\) +hello_web +2 nodes +1 recorded, 2 reserved +bbbbbbbb \(dead\) +\w+$/,
    );
    expect(listed[0]).toMatchObject({ ended: false, kind: '', workload: '' });
    expect((await core.run(['op', 'ls', '--all', '--kind', 'remove', '-o', 'name'])).stdout).toBe(
      'removeoperation1\ncreateoperation1\n',
    );
    expect(listed[1]).toMatchObject({ ended: true, kind: 'remove' });
  });

  test('show tells of hooks, takeovers and every instance', async () => {
    const { stdout } = await core.run(['op', 'show', 'remove']);
    expect(stdout).toMatch(/Hooks begun +stopHooks\n/);
    expect(stdout).toMatch(/Taken over +2023-11-14T22:13:20\.000Z by cccccccc from bbbbbbbb: removing: repeated/);
    expect((await core.run(['op', 'show', 'create'])).stdout).toMatch(/hello_web_y +n2 +reserved/);
    const json = JSON.parse((await core.run(['op', 'show', 'create', '-o', 'json'])).stdout) as object;
    expect(json).toMatchObject({ id: 'createoperation1', endedAt: null, slots: [{ step: 'recorded' }, {}, {}] });
    expect(await core.run(['op', 'show', 'x'])).toMatchObject({ code: 4 });
  });

  test('watch prints a line for each step', async () => {
    expect((await core.run(['op', 'watch'])).stdout.split('\n')).toEqual([
      'removeoperation1  remove (stop first) hello_web_aaaaaa on n1: removing (taken over: removing: repeated; ran before: stopHooks)',
      'removeoperation1  remove (stop first) hello_web_aaaaaa on n1: ended: removing (taken over: removing: repeated; ran before: stopHooks)',
      '',
    ]);
  });
});

test('realloc sends differences, and keeps the binding unless told otherwise', async () => {
  const sent = (): unknown =>
    Object.fromEntries(
      Object.entries(reallocs.at(-1)?.resources ?? {}).map(([kind, bytes]) => [
        kind,
        JSON.parse(Buffer.from(bytes).toString()),
      ]),
    );
  expect(await core.run(['realloc', 'aaaa', '--cpu', '-0.5', '--memory-limit', '64M'])).toMatchObject({ code: 0 });
  expect(sent()).toEqual({
    cpumem: { 'cpu-request': -0.5, 'cpu-limit': -0.5, 'memory-limit': 64 * 2 ** 20, 'keep-cpu-bind': true },
  });
  await core.run(['realloc', 'aaaa', '--storage', '1G', '--cpu-unbind']);
  expect(sent()).toEqual({ cpumem: {}, storage: { 'storage-request': 2 ** 30, 'storage-limit': 2 ** 30 } });
  expect(await core.run(['realloc', 'aaaa', '--cpu-bind', '--cpu-unbind'])).toMatchObject({ code: 2 });
  const wrong = await core.run(['realloc', 'aaaa', '--cpu', 'many']);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('--cpu: "many" is not allowed');
  expect(await core.run(['realloc', 'aaaa', '--key', 'k'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('nothing to change'),
  });
  await core.run(['realloc', 'aaaa', '--memory', '64M', '--key', 'k']);
  expect(reallocs.at(-1)).toMatchObject({ idempotencyKey: 'k' });
  refusal = new EruError('no_capacity', 'not enough', {
    details: { node: 'n1', kind: 'cpumem', reason: 'free memory', needed: 2 ** 40, free: 2 ** 30, unit: 'bytes' },
  });
  expect(await core.run(['realloc', 'aaaa', '--memory', '1T'])).toMatchObject({
    code: 3,
    stderr: 'eru: not enough\n  n1: free memory 1G < 1T\n',
  });
  refusal = new EruError('unavailable', 'docker has no containerd');
  expect(await core.run(['realloc', 'aaaa', '--memory', '1G'])).toMatchObject({
    code: 5,
    stderr: 'eru: docker has no containerd\n',
  });
});

test('replace tells of each old one, and fails when one is kept', async () => {
  const flags = '--overlap --window 2 --health-gate 30s --copy /a:/b --filter-label team=x';
  const { code, stderr } = await core.run(['replace', spec, ...flags.split(' ')]);
  expect(code).toBe(1);
  expect(stderr).toBe(
    'hello_web_aaaaaa replaced by new on n1\nsecond kept, failed: not healthy\nthird kept: not begun, because an earlier one failed\n',
  );
  expect(replaces[0]).toMatchObject({
    options: { name: 'hello' },
    overlap: true,
    window: 2,
    healthGate: 30,
    copy: { '/a': '/b' },
    filterLabels: { team: 'x' },
    ids: [],
  });
  expect(await core.run(['replace', spec, '--window', '0'])).toMatchObject({ code: 2 });
  expect((await core.run(['replace', spec, '--copy', 'a:b'])).stderr).toContain('--copy: "a:b" is not allowed');
});

test('deploy sends its key, and does not wait when told so', async () => {
  const { code, stderr } = await core.run(['deploy', spec, '--async', '--key', 'once']);
  expect([code, stderr]).toEqual([0, 'operation op goes on by itself\n']);
  expect(deploys[0]).toMatchObject({ asynchronous: true, idempotencyKey: 'once' });
  expect(await core.run(['deploy', spec, '--async', '--wait'])).toMatchObject({ code: 2 });
});

test('suspend, resume and dissociate', async () => {
  expect((await core.run(['suspend', 'aaaa'])).stderr).toBe('hello_web_aaaaaa suspended\n');
  expect((await core.run(['resume', 'aaaa', '--key', 'once'])).stderr).toBe('hello_web_aaaaaa resumed\n');
  expect(controls.map(({ type, idempotencyKey }) => [type, idempotencyKey])).toEqual([
    ['suspend', ''],
    ['resume', 'once'],
  ]);
  expect((await core.run(['dissociate', 'aaaa'])).stderr).toBe('hello_web_aaaaaa dissociated\n');
});

test('lambda shows the output and ends with the exit code', async () => {
  const options = ['--pod', 'default', '--memory', '64M', '--name', 'mine'];
  expect(await core.run(['lambda', ...options, '--', 'sh', '-c', 'exit 7'])).toEqual({
    code: 7,
    stdout: '',
    stderr: 'oops\n',
  });
  expect(runs[0]).toMatchObject({
    options: { name: 'lambda', podname: 'default', entrypoint: { name: 'mine', commands: ['sh', '-c', 'exit 7'] } },
    process: { root: 'host' },
    asynchronous: false,
  });
  expect(await core.run(['lambda', '-i', '--pod', 'p', 'cat'], { stdin: 'hello\n' })).toMatchObject({
    code: 7,
    stdout: 'hello\n',
  });
  expect(await core.run(['lambda', '--async', '--async-timeout', '1m', '--pod', 'p', 'job'])).toEqual({
    code: 0,
    stdout: '',
    stderr: 'lambda_job_x runs on n1\n',
  });
  expect(runs[2]).toMatchObject({ asynchronous: true, timeout: 60 });
  expect(await core.run(['lambda', '--count', '2', '--pod', 'p', 'cut'])).toMatchObject({ code: 5 });
  expect(await core.run(['lambda', '--pod', 'p'])).toMatchObject({ code: 2 });
  expect(await core.run(['lambda', '-i', '--async', '--pod', 'p', 'x'])).toMatchObject({ code: 2 });
});
