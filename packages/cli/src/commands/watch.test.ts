import { ageHeader, create, eru, mount, pb, serve } from '@eru/contract';
import { EruError } from '@eru/kit';
import { afterEach, expect, test } from 'vitest';

import { id, runCommand, startFakeCore, workload, type FakeCore } from '../fake-core.suite.ts';

let core: FakeCore | undefined;
afterEach(() => core?.close());

const one = workload('hello_web_aaaaaa', 'a');
const change = (
  kind: string,
  name: string,
  object?: Exclude<eru.ObjectChange['object'], { case: undefined }>,
): eru.ObjectChange => create(eru.ObjectChangeSchema, { kind, name, ...(object !== undefined && { object }) });

/** Breaks once in the middle: a second call goes on where the first one ended. */
function watched(asked: bigint[]) {
  return async function* watch({ fromRevision }: eru.WatchRequest, { signal }: { signal: AbortSignal }) {
    asked.push(fromRevision);
    if (fromRevision === 0n) {
      yield {
        changes: [change('pod', 'p', { case: 'pod', value: create(pb.PodSchema, { name: 'p', desc: 'a pod' }) })],
      };
      yield { changes: [change('workload', id('a'), { case: 'workload', value: one })] };
      yield { revision: 7n, listed: true };
      throw new EruError('unavailable', 'this core is gone');
    }
    yield { revision: 9n, changes: [change('workload', id('a')), change('pod', 'p')] };
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  };
}

test('watch prints lines for people, and goes on after a broken stream', async () => {
  const asked: bigint[] = [];
  core = await startFakeCore({ eru: { watch: watched(asked) } });
  const stop = new AbortController();
  const onOutput = (text: string): void => {
    if (text.includes('gone\npod')) stop.abort();
  };
  const { code, stdout } = await core.run(['watch'], { signal: stop.signal, onOutput });
  expect(code).toBe(0);
  expect(asked).toEqual([0n, 7n]);
  expect(stdout.split('\n').slice(0, 5)).toEqual([
    'pod        p  a pod',
    'workload   hello_web_aaaaaa  healthy on n1',
    '-- as of revision 7 --',
    'workload   hello_web_aaaaaa  gone',
    'pod        p  gone',
  ]);
});

test('watch -o json prints a document per line', async () => {
  core = await startFakeCore({ eru: { watch: watched([]) } });
  const stop = new AbortController();
  const onOutput = (text: string): void => {
    if (text.includes('null}\n{"event":"changed","revision":9,"kind":"pod"')) stop.abort();
  };
  const { stdout } = await core.run(['watch', '-o', 'json'], { signal: stop.signal, onOutput });
  const documents = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(documents).toMatchObject([
    { event: 'reset' },
    { event: 'changed', revision: 0, kind: 'pod', name: 'p', object: { desc: 'a pod' } },
    { event: 'changed', kind: 'workload', object: { name: 'hello_web_aaaaaa', running: true } },
    { event: 'listed', revision: 7 },
    { event: 'changed', revision: 9, kind: 'workload', name: id('a'), object: null },
    { event: 'changed', revision: 9, kind: 'pod', object: null },
  ]);
});

test('watch refuses a revision that is none', async () => {
  core = await startFakeCore({});
  expect(await core.run(['watch', '--from', 'x'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--from'),
  });
});

test('node check prints exactly what scripts read, and ends with 1 when there are differences', async () => {
  const diff = { kind: 'usage', object: 'n1', recorded: '{"a":1}', found: '{"a":2}', action: 'set' };
  const asked: boolean[] = [];
  core = await startFakeCore({
    eru: {
      checkNode: async ({ node, fix }) => {
        asked.push(fix);
        return node === 'n1' ? { node, ok: false, diffs: [diff] } : { node, ok: true };
      },
    },
  });
  const wrong = await core.run(['node', 'check', 'n1', '--fix', '-o', 'json']);
  expect([wrong.code, JSON.parse(wrong.stdout)]).toEqual([1, { node: 'n1', ok: false, diffs: [diff] }]);
  const right = await core.run(['node', 'check', 'n2', '-o', 'json']);
  expect([right.code, JSON.parse(right.stdout)]).toEqual([0, { node: 'n2', ok: true, diffs: [] }]);
  expect(await core.run(['node', 'check', 'n2'])).toMatchObject({ code: 0, stdout: 'n2: ok\n' });
  expect(asked).toEqual([true, false, false]);
});

test('an answer that is old says so on standard error, once; a refusal for that says the reason alone', async () => {
  const serving = await serve({
    listen: '127.0.0.1:0',
    services: [
      mount(eru.Eru, { listWorkloads: async function* () {} }),
      mount(pb.CoreRPC, {
        addPod: () => {
          throw new EruError('unavailable', 'the store has not answered since noon', {
            details: { storeSilentSince: 'noon' },
          });
        },
      }),
    ],
    headers: () => ({ [ageHeader]: '43210' }),
  });
  const env = { ERU: serving.address, ERU_DATA: '/nonexistent' };
  const read = await runCommand(['ps'], { env });
  expect(read).toMatchObject({ code: 0, stderr: 'as of 43 s ago: the store does not answer\n' });
  const refused = await runCommand(['pod', 'add', 'p'], { env });
  expect(refused.code).toBe(5);
  expect(refused.stderr.split('\n').slice(-2)).toEqual(['eru: the store has not answered since noon', '']);
  const json = await fetch(`http://${serving.address}/eru.v1.Eru/ListWorkloads`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(json.headers.get(ageHeader)).toBe('43210');
  await serving.close();
});
