import { pb, type eru, type MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';
import type { SimulatedMachine } from '@eru/engines';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, failure, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let machine: SimulatedMachine;
beforeEach(async () => {
  core = await startTestCore();
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
  machine = core.machines.resolve('mock://n1');
});
afterEach(() => core.close());

type Run = Exclude<MessageInitShape<typeof pb.RunAndWaitOptionsSchema>, pb.RunAndWaitOptions>;
type Options = Exclude<MessageInitShape<typeof pb.DeployOptionsSchema>, pb.DeployOptions>;

const run = (commands: string[], more: Options = {}, rest: Run = {}): Run => ({
  deployOptions: {
    name: 'lambda',
    podname: 'pod',
    image: 'image',
    count: 1,
    entrypoint: { name: 'job', commands },
    ...more,
  },
  ...rest,
});

async function* once(...requests: Run[]): AsyncIterable<Run> {
  yield* requests;
}

const { STDOUT, STDERR, TYPEWORKLOADID, ERUERROR } = pb.StdStreamType;
const told = (messages: readonly pb.AttachWorkloadMessage[]): [number, string][] =>
  messages.map(({ stdStreamType, data }) => [stdStreamType, text(data)]);

test('ids come first, then the output, then the exit code once the workload is removed', async () => {
  const ended: number[] = [];
  const messages: pb.AttachWorkloadMessage[] = [];
  for await (const message of core.rpc.runAndWait(once(run(['speak']), { cmd: Buffer.from('\n') }))) {
    messages.push(message);
    if (text(message.data).startsWith('[exitcode]')) ended.push(machine.workloads().length);
  }
  expect(told(messages)).toEqual([
    [TYPEWORKLOADID, ''],
    [STDOUT, 'out\n'],
    [STDERR, 'err\n'],
    [STDOUT, '[exitcode] 3'],
  ]);
  expect(new Set(messages.map(({ workloadId }) => workloadId))).toHaveLength(1);
  expect(ended).toEqual([0]);
  expect((await core.rpc.getNodeResource({ opts: { nodename: 'n1' } })).diffs).toEqual([]);
});

test('several run side by side; every id is told before any output', async () => {
  const messages = await collect(core.rpc.runAndWait(once(run(['echo', 'hello'], { count: 3 }))));
  expect(messages.slice(0, 3).map(({ stdStreamType }) => stdStreamType)).toEqual(Array(3).fill(TYPEWORKLOADID));
  for (const { workloadId } of messages.slice(0, 3)) {
    const own = messages.slice(3).filter((message) => message.workloadId === workloadId);
    expect(told(own)).toEqual([
      [STDOUT, 'hello\n'],
      [STDOUT, '[exitcode] 0'],
    ]);
  }
});

test('with stdin the client types into it, and half-closing closes it', async () => {
  const messages = await collect(
    core.rpc.runAndWait(
      once(run(['cat'], { openStdin: true }), { cmd: Buffer.from('one\n') }, { cmd: Uint8Array.of(0x1d) }),
    ),
  );
  expect(told(messages)).toEqual([
    [TYPEWORKLOADID, ''],
    [STDOUT, 'one\n'],
    [STDOUT, '[exitcode] 0'],
  ]);
});

test('async ends after the ids; the workload runs on and is removed at its end, or at its time', async () => {
  const messages = await collect(core.rpc.runAndWait(once(run(['serve'], {}, { async: true, asyncTimeout: 1 }))));
  expect(told(messages)).toEqual([[TYPEWORKLOADID, '']]);
  expect(machine.workloads()).toHaveLength(1);
  await core.core.context.view.until(
    () => (core.core.context.view.workloads.size === 0 ? true : undefined),
    AbortSignal.timeout(10_000),
  );
  expect(machine.workloads()).toEqual([]);
});

test('a client that leaves takes its workload with it', async () => {
  const leave = new AbortController();
  const stream = core.rpc.runAndWait(once(run(['serve'])), { signal: leave.signal });
  await stream.next();
  leave.abort();
  await stream.next().catch(() => {});
  const { view } = core.core.context;
  await view.until(() => (view.operations.size === 0 ? true : undefined), AbortSignal.timeout(10_000));
  expect(machine.workloads()).toEqual([]);
  expect(view.workloads.size).toBe(0);
});

test('what cannot be created has no id and says why', async () => {
  machine.faults = (verb, phase) => {
    if (verb === 'start' && phase === 'before') throw new EruError('failed', 'start is refused');
  };
  const messages = await collect(core.rpc.runAndWait(once(run(['echo']))));
  expect(messages.map(({ workloadId }) => workloadId)).toEqual(['', '']);
  expect(told(messages)).toEqual([
    [TYPEWORKLOADID, ''],
    [ERUERROR, 'Create workload failed start is refused'],
  ]);
  const tooLarge = { resources: { cpumem: json({ 'memory-request': 2 ** 40, 'memory-limit': 2 ** 40 }) } };
  expect(told(await collect(core.rpc.runAndWait(once(run(['echo'], tooLarge)))))).toEqual([
    [TYPEWORKLOADID, ''],
    [ERUERROR, 'Create workload failed need: 1, available: 0: cannot alloc a plan, not enough resource'],
  ]);
});

test('refusals', async () => {
  const refused = (...requests: Run[]) => failure(collect(core.rpc.runAndWait(once(...requests))));
  expect((await refused())[0]).toBe(10712);
  expect(await refused({})).toEqual([10712, 'no deploy options']);
  expect(await refused(run(['echo'], { name: '' }))).toEqual([10712, 'app name is empty']);
  expect(await refused(run(['echo'], { image: '' }))).toEqual([10712, 'image is empty']);
  const stdin = [10712, 'count must be 1 if OpenStdin is true'];
  expect(await refused(run(['cat'], { openStdin: true, count: 2 }))).toEqual(stdin);
  const each = pb.DeployOptions_Strategy.EACH;
  expect(await refused(run(['cat'], { openStdin: true, deployStrategy: each }))).toEqual(stdin);
});

describe('eru.v1 Run', () => {
  type Request = Exclude<MessageInitShape<typeof eru.RunRequestSchema>, eru.RunRequest>;
  const open = (commands: string[], more: Options = {}, asynchronous = false): Request => ({
    request: {
      case: 'open',
      value: { options: { ...run(commands, { image: '', ...more }).deployOptions }, process: {}, asynchronous },
    },
  });
  async function* requests(...all: Request[]): AsyncIterable<Request> {
    yield* all;
  }
  const responses = async (...all: Request[]): Promise<[string | undefined, unknown][]> =>
    (await collect(core.eru.run(requests(...all)))).map(({ response }) => [
      response.case,
      response.case === 'output'
        ? [response.value.stderr, text(response.value.data)]
        : response.case === 'exited'
          ? response.value.exitCode
          : response.value?.error,
    ]);

  test('runs a process without an image, and gives the exit code in a field of its own', async () => {
    expect(await responses(open(['speak']))).toEqual([
      ['created', ''],
      ['output', [false, 'out\n']],
      ['output', [true, 'err\n']],
      ['exited', 3],
    ]);
  });

  test('reads stdin until it is closed', async () => {
    expect(
      await responses(
        open(['cat'], { openStdin: true }),
        { request: { case: 'stdin', value: Buffer.from('hello\n') } },
        { request: { case: 'closeStdin', value: true } },
      ),
    ).toEqual([
      ['created', ''],
      ['output', [false, 'hello\n']],
      ['exited', 0],
    ]);
  });

  test('asynchronous ends after the ids', async () => {
    expect(await responses(open(['echo'], {}, true))).toEqual([['created', '']]);
    const { view } = core.core.context;
    await view.until(() => (view.operations.size === 0 ? true : undefined), AbortSignal.timeout(10_000));
    expect(machine.workloads()).toEqual([]);
  });

  test('refusals', async () => {
    await expect(responses({ request: { case: 'closeStdin', value: true } })).rejects.toMatchObject({
      code: 'invalid',
    });
    await expect(responses(open(['cat'], { openStdin: true, count: 2 }))).rejects.toMatchObject({ code: 'invalid' });
    const wrong = { resources: { cpumem: json({ memories: 1 }) } };
    await expect(responses(open(['echo'], wrong))).rejects.toMatchObject({ code: 'invalid' });
  });
});
