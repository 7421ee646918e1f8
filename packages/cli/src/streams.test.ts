import { pb } from '@eru/contract';
import type { eru } from '@eru/contract';
import { EruError, Queue } from '@eru/kit';
import { afterEach, expect, test } from 'vitest';

import type { FakeCore } from './fake-core.suite.ts';
import { id, lister, startFakeCore, workload } from './fake-core.suite.ts';

const one = workload('hello_web_aaaaaa', 'a');
let core: FakeCore;

afterEach(() => core.close());

/** Behaves like `cat` with `tty` off: output is input, until end of input. */
async function* cat(requests: AsyncIterable<eru.ExecRequest>, opened: eru.ExecOpen[]) {
  for await (const { request } of requests) {
    if (request.case === 'open') {
      opened.push(request.value);
      yield { response: { case: 'started' as const, value: {} } };
      if (request.value.stdin) continue;
    }
    if (request.case === 'stdin') yield { response: { case: 'stdout' as const, value: request.value } };
    else break;
  }
  yield { response: { case: 'stderr' as const, value: Buffer.from('bye\n') } };
  yield { response: { case: 'exitCode' as const, value: 42 } };
}

test('exec sends its input, tells of its end, and ends with the remote code', async () => {
  const opened: eru.ExecOpen[] = [];
  const handlers = {
    listWorkloads: lister(() => [one]),
    exec: (requests: AsyncIterable<eru.ExecRequest>) => cat(requests, opened),
  };
  core = await startFakeCore({ eru: handlers });
  const piped = ['exec', '-i', '-e', 'A=1', '-w', '/tmp', 'aaaa', '--', 'cat', '-u', '--', '-e'];
  expect(await core.run(piped, { stdin: 'hi\n'.repeat(100_000) })).toEqual({
    code: 42,
    stdout: 'hi\n'.repeat(100_000),
    stderr: 'bye\n',
  });
  expect(opened[0]).toMatchObject({
    id: id('a'),
    command: ['cat', '-u', '--', '-e'],
    env: ['A=1'],
    dir: '/tmp',
    stdin: true,
    tty: false,
  });
  expect(await core.run(['exec', 'aaaa', 'true'], { stdin: 'not sent' })).toMatchObject({ code: 42, stdout: '' });
  expect(opened[1]).toMatchObject({ command: ['true'], stdin: false });
  expect(await core.run(['exec', 'nobody', 'true'])).toMatchObject({ code: 4 });
});

test('exec that is cut off is no success', async () => {
  core = await startFakeCore({
    eru: {
      listWorkloads: lister(() => [one]),
      async *exec() {
        yield { response: { case: 'started', value: {} } };
      },
    },
  });
  expect(await core.run(['exec', 'aaaa', 'true'])).toMatchObject({ code: 5, stdout: '' });
});

test('logs -f goes on when the stream is cut, and ends when the workload is gone', async () => {
  let workloads = [one];
  const asked: string[] = [];
  core = await startFakeCore({
    core: {
      async *logStream({ since, follow }) {
        asked.push(since);
        yield { data: Buffer.from(`line ${asked.length} ${follow}\n`), stdStreamType: pb.StdStreamType.STDOUT };
        if (asked.length === 1) throw new EruError('unavailable', 'core is stopping');
        workloads = [];
      },
    },
    eru: { listWorkloads: lister(() => workloads) },
  });
  const { code, stdout, stderr } = await core.run(['logs', '-f', 'aaaa']);
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'line 1 true\nline 2 true\n' });
  expect(stderr).toContain('going on when core is back');
  expect(asked[0]).toBe('');
  expect(Number.isNaN(Date.parse(asked[1] ?? ''))).toBe(false);
});

test('logs whose reader leaves (`eru logs X | head`) end without complaint', async () => {
  core = await startFakeCore({
    core: {
      async *logStream({ id: wanted }) {
        for (;;) yield { id: wanted, data: Buffer.from('a line\n') };
      },
    },
    eru: { listWorkloads: lister(() => [one]) },
  });
  const onOutput = (): void => {
    throw Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  };
  expect(await core.run(['logs', 'aaaa'], { onOutput })).toMatchObject({ code: 0, stderr: '' });
});

test('Ctrl-C ends logs -f and status -w without complaint', async () => {
  const changes = new Queue<string>();
  let current = one;
  core = await startFakeCore({
    core: {
      async *logStream({ id: wanted }, { signal }) {
        yield { id: wanted, data: Buffer.from('a line\n') };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
      async *workloadStatusStream() {
        for await (const changed of changes) yield { id: changed };
      },
      async *nodeStatusStream(_request, { signal }) {
        yield { nodename: 'n1', podname: 'default', alive: false };
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
      },
    },
    eru: { listWorkloads: lister(() => [current]) },
  });
  const following = new AbortController();
  const followed = await core.run(['logs', '-f', 'aaaa'], {
    signal: following.signal,
    onOutput: () => following.abort(),
  });
  expect(followed).toEqual({ code: 0, stdout: 'a line\n', stderr: '' });

  const watching = new AbortController();
  const watched = await core.run(['status', '-w'], {
    signal: watching.signal,
    onOutput: (stdout) => {
      if (stdout.includes('unhealthy: connection refused')) return watching.abort();
      if (!stdout.includes('  healthy') || !stdout.includes('node n1')) return;
      const status = { healthy: false, reason: 'connection refused' };
      current = workload('hello_web_aaaaaa', 'a', status);
      changes.push(id('a'));
    },
  });
  changes.end();
  expect(watched).toMatchObject({ code: 0, stderr: '' });
  const lines = watched.stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^\S+ +/, ''));
  expect(lines.toSorted()).toEqual([
    'hello_web_aaaaaa  n1  healthy',
    'hello_web_aaaaaa  n1  unhealthy: connection refused',
    'node n1  default  down',
  ]);
});
