import { pb, type MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';
import type { EngineVerb, SimulatedMachine } from '@eru/engines';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, failure, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let rpc: TestCore['rpc'];
let machine: SimulatedMachine;
beforeEach(async () => {
  core = await startTestCore();
  ({ rpc } = core);
  await rpc.addPod({ name: 'pod' });
  await rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
  machine = core.machines.resolve('mock://n1');
});
afterEach(() => core.close());

const absent = (id: string): string => `key: /workloads/${id}: bad \`Count\` value, entity count invalid`;
const MiB = 2 ** 20;
type Options = Exclude<MessageInitShape<typeof pb.DeployOptionsSchema>, pb.DeployOptions>;
const options: Options = {
  name: 'app',
  podname: 'pod',
  image: 'image',
  count: 1,
  entrypoint: { name: 'web', commands: ['serve'] },
};
const memory = (bytes: number): Options => ({
  resources: { cpumem: json({ 'memory-request': bytes, 'memory-limit': bytes, 'keep-cpu-bind': true }) },
});

async function deployed(more: Options = {}): Promise<string> {
  const [message] = await collect(rpc.createWorkload({ ...options, ...more }));
  expect(message).toMatchObject({ error: '', success: true });
  return message?.id ?? '';
}

async function usedMemory(): Promise<number> {
  const { resourceUsage } = await rpc.getNode({ nodename: 'n1' });
  return (JSON.parse(resourceUsage) as { cpumem: { memory: number } }).cpumem.memory;
}

const diffs = async (): Promise<string[]> => (await rpc.getNodeResource({ opts: { nodename: 'n1' } })).diffs;

/** The machine refuses the next call of a verb. */
function refuseNext(verb: EngineVerb): void {
  machine.faults = (called, phase) => {
    if (called !== verb || phase !== 'before') return;
    machine.faults = undefined;
    throw new EruError('failed', `${verb} is refused`);
  };
}

describe('CreateWorkload', () => {
  test('gives environment, labels, files and after-create commands before the hooks', async () => {
    const contents = new TextEncoder().encode('hello');
    const [message] = await collect(
      rpc.createWorkload({
        ...options,
        env: ['A=1'],
        labels: { team: 'x' },
        afterCreate: ['first one'],
        entrypoint: {
          name: 'web',
          commands: ['serve'],
          hook: { afterStart: ['second one'], beforeStop: [], force: true },
        },
        data: { '/etc/app/config': contents },
        modes: { '/etc/app/config': { mode: 0o600n } },
        owners: { '/etc/app/config': { uid: 7, gid: 8 } },
      }),
    );
    expect(text(message?.hook)).toBe('first one\nsecond one\n');
    const id = message?.id ?? '';
    const env = async (name: string): Promise<string> => {
      const messages = await collect(
        rpc.executeWorkload(
          (async function* () {
            yield { workloadId: id, commands: ['env', name] };
          })(),
        ),
      );
      return text(messages[0]?.data).trim();
    };
    expect(await env('A')).toBe('1');
    expect(await env('APP_NAME')).toBe('app');
    expect(await env('ERU_POD')).toBe('pod');
    expect(await env('ERU_NODE_NAME')).toBe('n1');
    expect(await env('ERU_WORKLOAD_SEQ')).toBe('0');
    const record = await rpc.getWorkload({ id });
    expect(record.env).toEqual(['A=1']);
    expect(record.labels).toMatchObject({
      ERU: '1',
      ERU_META: '{"Publish":null,"HealthCheck":null}',
      'eru.nodename': 'n1',
      'eru.coreid': core.core.cluster,
      team: 'x',
    });
    const archive = Buffer.concat(await collect(machine.engine().copyFrom(id, '/etc/app/config')));
    expect(archive.subarray(512, 517).toString()).toBe('hello');
    expect(archive.subarray(100, 107).toString()).toBe('0000600');
  });

  test('a node whose image cannot be had gives one message for each instance, with only the error', async () => {
    refuseNext('imagePull');
    const messages = await collect(rpc.createWorkload({ ...options, count: 2 }));
    expect(
      messages.map(({ error, nodename, name, success, resources }) => [error, nodename, name, success, resources]),
    ).toEqual([
      ['imagePull is refused', '', '', false, 'null'],
      ['imagePull is refused', '', '', false, 'null'],
    ]);
    expect(machine.workloads()).toEqual([]);
    expect(await diffs()).toEqual([]);
  });

  test('ignore_pull takes the image as it is', async () => {
    refuseNext('imagePull');
    await deployed({ ignorePull: true });
  });
});

describe('DissociateWorkload', () => {
  test('forgets the workload, gives its room back and leaves its object running for good', async () => {
    const id = await deployed(memory(100 * MiB));
    expect(await collect(rpc.dissociateWorkload({ IDs: [id, id] }))).toMatchObject([{ id, error: '' }]);
    expect(await failure(rpc.getWorkload({ id }))).toEqual([1051, absent(id)]);
    expect(machine.workloads()).toMatchObject([{ id, state: 'running' }]);
    expect(await usedMemory()).toBe(0);
    expect(await diffs()).toEqual([]);
  });

  test('refusals', async () => {
    expect(await failure(collect(rpc.dissociateWorkload({})))).toEqual([2, 'no workload IDs given']);
    const id = await deployed();
    expect(await failure(collect(rpc.dissociateWorkload({ IDs: [id, 'x'] })))).toEqual([1077, absent('x')]);
    expect(await rpc.getWorkload({ id })).toMatchObject({ id });
  });
});

describe('ReallocResource', () => {
  test('adds to what there is, live, and takes away', async () => {
    const id = await deployed(memory(100 * MiB));
    expect(await rpc.reallocResource({ id, ...memory(50 * MiB) })).toMatchObject({ error: '' });
    expect(machine.workloads()[0]?.limits.requested.memoryBytes).toBe(150 * MiB);
    expect(JSON.parse((await rpc.getWorkload({ id })).resources)).toMatchObject({
      cpumem: { memory_request: 150 * MiB },
    });
    expect(await usedMemory()).toBe(150 * MiB);
    await rpc.reallocResource({ id, ...memory(-120 * MiB) });
    expect(machine.workloads()[0]?.limits.requested.memoryBytes).toBe(30 * MiB);
    expect(await usedMemory()).toBe(30 * MiB);
    expect(await diffs()).toEqual([]);
  });

  test('refusals change nothing', async () => {
    const id = await deployed(memory(100 * MiB));
    expect(await failure(rpc.reallocResource({}))).toEqual([10710, 'no workload IDs given']);
    expect(await failure(rpc.reallocResource({ id: 'x' }))).toEqual([10710, absent('x')]);
    expect(await failure(rpc.reallocResource({ id, ...memory(2 ** 40) }))).toEqual([
      10710,
      'cannot alloc a plan, not enough resource',
    ]);
    expect((await failure(rpc.reallocResource({ id, ...memory(-101 * MiB) })))[1]).toContain('invalid memory');
    refuseNext('update');
    expect(await failure(rpc.reallocResource({ id, ...memory(50 * MiB) }))).toEqual([10710, 'update is refused']);
    expect(await collect(rpc.controlWorkload({ IDs: [id], type: 'start' }))).toMatchObject([{ error: '' }]);
    expect(machine.workloads()[0]?.limits.requested.memoryBytes).toBe(100 * MiB);
    expect(await usedMemory()).toBe(100 * MiB);
    expect(await diffs()).toEqual([]);
  });
});

describe('ReplaceWorkload', () => {
  const hooked: Options = {
    entrypoint: {
      name: 'web',
      commands: ['serve'],
      hook: { afterStart: ['warm up'], beforeStop: ['drain'], force: false },
    },
  };

  test('puts a new one in the place of the old one, with its resources and networks', async () => {
    const id = await deployed({ ...hooked, ...memory(100 * MiB), networks: { bridge: '' } });
    const address = machine.workloads()[0]?.networks['bridge'];
    await core.core.context.engineOf('n1').copyTo(
      id,
      '/',
      (async function* () {
        yield (await import('@eru/engines')).writeTar([
          ['data/state', { contents: new TextEncoder().encode('state'), mode: 0o644, uid: 1, gid: 2 }],
        ]);
      })(),
    );
    const messages = await collect(
      rpc.replaceWorkload({
        deployOpt: { ...options, ...hooked, podname: '', image: 'newer', count: 0, ...memory(1) },
        networkinherit: true,
        copy: { '/data/state': '/old/state' },
      }),
    );
    expect(messages).toHaveLength(1);
    const [message] = messages;
    const made = message?.create?.id ?? '';
    expect(message).toMatchObject({
      error: '',
      create: { podname: 'pod', nodename: 'n1', success: true, error: '' },
      remove: { id, success: true, hook: 'drain\n' },
    });
    expect(text(message?.create?.hook)).toBe('warm up\n');
    expect(made).not.toBe(id);
    expect(machine.workloads()).toMatchObject([
      {
        id: made,
        image: 'newer',
        state: 'running',
        networks: { bridge: address },
        limits: { requested: { memoryBytes: 100 * MiB } },
      },
    ]);
    expect(Buffer.concat(await collect(machine.engine().copyFrom(made, '/old/state'))).toString()).toContain('state');
    expect(await failure(rpc.getWorkload({ id }))).toEqual([1051, absent(id)]);
    expect(await usedMemory()).toBe(100 * MiB);
    expect(await diffs()).toEqual([]);
  });

  test('brings the old one back when the new one does not start', async () => {
    const id = await deployed({ ...hooked, ...memory(100 * MiB) });
    refuseNext('start');
    const [message] = await collect(rpc.replaceWorkload({ deployOpt: { ...options, ...hooked }, IDs: [id] }));
    expect(message).toMatchObject({
      error: 'start is refused',
      create: { success: false, error: 'start is refused' },
      remove: { id, success: false, hook: 'drain\nwarm up\n' },
    });
    expect(machine.workloads()).toMatchObject([{ id, state: 'running' }]);
    expect(await usedMemory()).toBe(100 * MiB);
    expect(await diffs()).toEqual([]);
  });

  test('leaves alone, without a word, what has another pod or other labels', async () => {
    await deployed({ labels: { team: 'x' } });
    const replace = (more: object) => collect(rpc.replaceWorkload({ deployOpt: options, ...more }));
    expect(await replace({ filterLabels: { team: 'y' } })).toEqual([]);
    expect(await replace({ deployOpt: { ...options, podname: 'other' } })).toEqual([]);
    expect(await replace({ deployOpt: { ...options, name: 'other' } })).toEqual([]);
    expect(await replace({ deployOpt: { ...options, nodeFilter: { includes: ['n2'] } } })).toEqual([]);
    expect(await replace({ filterLabels: { team: 'x' } })).toHaveLength(1);
  });

  test('refusals, of the call and in messages', async () => {
    const replace = (deployOpt?: Options, more: object = {}) =>
      collect(rpc.replaceWorkload({ ...(deployOpt !== undefined && { deployOpt }), ...more }));
    expect(await failure(replace())).toEqual([1075, 'no deploy options']);
    expect(await failure(replace({ name: 'app' }))).toEqual([1075, 'no entry in spec']);
    expect(await failure(replace({ entrypoint: { name: 'web' } }))).toEqual([1075, 'app name is empty']);
    expect(await failure(replace({ name: 'app', entrypoint: { name: 'a_b' } }))).toEqual([
      1075,
      "entrypoint name has '_' character",
    ]);
    const id = await deployed();
    expect(await replace({ ...options, image: '' })).toMatchObject([
      { error: 'no image', remove: { id, success: false } },
    ]);
    expect(await replace(options, { IDs: ['x'] })).toMatchObject([{ error: absent('x'), remove: { id: 'x' } }]);
    await collect(rpc.controlWorkload({ IDs: [id], type: 'stop' }));
    const [message] = await replace(options, { networkinherit: true });
    expect(message).toMatchObject({
      error: `workload ${id} is not running, can not inherit: invalid workload ops`,
      remove: { id, success: false },
    });
    expect(message?.create).toBeUndefined();
    expect(machine.workloads()).toMatchObject([{ id, state: 'exited' }]);
  });
});

describe('ControlWorkload', () => {
  const control = (id: string, type: string, force = false) => collect(rpc.controlWorkload({ IDs: [id], type, force }));

  test('suspends and resumes', async () => {
    const id = await deployed();
    expect(await control(id, 'suspend')).toMatchObject([{ id, error: '', hook: new Uint8Array() }]);
    expect(machine.workloads()).toMatchObject([{ state: 'paused' }]);
    expect((await control(id, 'start'))[0]?.error).toContain('it is paused; resume it');
    await control(id, 'resume');
    expect(machine.workloads()).toMatchObject([{ state: 'running' }]);
  });

  test('runs hooks around stop, start and restart; a mandatory one that fails ends it unless forced', async () => {
    const hook = { afterStart: ['warm up'], beforeStop: ['exit 4'], force: true };
    const id = await deployed({ entrypoint: { name: 'web', commands: ['serve'], hook } });
    expect(await control(id, 'stop')).toMatchObject([{ id, error: 'hook exit 4 ended with 4' }]);
    expect(machine.workloads()).toMatchObject([{ state: 'running' }]);
    const [restarted] = await control(id, 'restart', true);
    expect([restarted?.error, text(restarted?.hook)]).toEqual(['', 'hook exit 4 ended with 4\nwarm up\n']);
    expect(text((await control(id, 'stop', true))[0]?.hook)).toBe('hook exit 4 ended with 4\n');
    expect(machine.workloads()).toMatchObject([{ state: 'exited' }]);
    expect(text((await control(id, 'start'))[0]?.hook)).toBe('warm up\n');
  });

  test('refusals, of the call and in messages', async () => {
    expect(await failure(collect(rpc.controlWorkload({ type: 'stop' })))).toEqual([2, 'no workload IDs given']);
    expect(await control('x', 'stop')).toMatchObject([{ id: 'x', error: absent('x') }]);
    const id = await deployed();
    expect(await control(id, 'sing')).toMatchObject([{ id, error: 'unknown control type' }]);
  });
});
