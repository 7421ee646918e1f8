import { pb, type eru, type MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';
import type { EngineVerb, SimulatedMachine } from '@eru/engines';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let machine: SimulatedMachine;
beforeEach(async () => {
  core = await startTestCore();
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
  machine = core.machines.resolve('mock://n1');
});
afterEach(() => core.close());

type Deploy = Exclude<MessageInitShape<typeof eru.DeployRequestSchema>, eru.DeployRequest>;
type Replace = Exclude<MessageInitShape<typeof eru.ReplaceRequestSchema>, eru.ReplaceRequest>;
type Options = Exclude<MessageInitShape<typeof pb.DeployOptionsSchema>, pb.DeployOptions>;
const MiB = 2 ** 20;

const options = (more: Options = {}): Options => ({
  name: 'app',
  podname: 'pod',
  count: 1,
  entrypoint: { name: 'web', commands: ['serve'] },
  ...more,
});
const memory = (bytes: number): Options => ({
  resources: { cpumem: json({ 'memory-request': bytes, 'memory-limit': bytes }) },
});

async function deploy(more: Options = {}, rest: Deploy = {}): Promise<eru.DeployEvent[]> {
  return collect(core.eru.deploy({ ...rest, options: options(more) }));
}

/** `[id, error]` of each instance, in a fixed order. */
const done = (events: readonly eru.DeployEvent[]): [string, string][] =>
  events
    .flatMap(({ event }): [string, string][] => (event.case === 'done' ? [[event.value.id, event.value.error]] : []))
    .toSorted(([a], [b]) => (a < b ? -1 : 1));

const ids = async (count: number, more: Options = {}): Promise<string[]> =>
  done(await deploy({ count, ...more })).map(([id]) => id);

async function atRest(): Promise<void> {
  const { view } = core.core.context;
  await view.until(() => (view.operations.size === 0 ? true : undefined), AbortSignal.timeout(10_000));
  expect((await core.rpc.getNodeResource({ opts: { nodename: 'n1' } })).diffs).toEqual([]);
}

/** The machine refuses calls of a verb, but for the first `spare`, `times` times. */
function refuse(verb: EngineVerb, spare: number, times: number): void {
  let calls = 0;
  machine.faults = (called, phase) => {
    if (called !== verb || phase !== 'before') return;
    calls += 1;
    if (calls > spare && calls <= spare + times) throw new EruError('failed', `${verb} is refused`);
  };
}

describe('an idempotency key', () => {
  const keyed = { idempotencyKey: 'once' };

  test('makes one deploy of two, one after the other or at once', async () => {
    const both = await Promise.all([deploy({ count: 2 }, keyed), deploy({ count: 2 }, keyed)]);
    const later = await deploy({ count: 2 }, keyed);
    const [first, second] = both.map((events) => done(events));
    expect(first).toHaveLength(2);
    expect(second).toEqual(first);
    expect(done(later)).toEqual(first);
    expect(machine.workloads()).toHaveLength(2);
    const planned = (events: readonly eru.DeployEvent[]): unknown =>
      events[0]?.event.case === 'planned' ? events[0].event.value.operation : undefined;
    expect(planned(later)).toBe(planned(both[0] ?? []));
  });

  test('keeps what failed as well', async () => {
    refuse('start', 0, 1);
    const first = done(await deploy({ count: 2 }, keyed));
    expect(first.map(([, error]) => error).toSorted()).toEqual(['', 'start is refused']);
    await atRest();
    expect(done(await deploy({ count: 2 }, keyed))).toEqual(first);
  });

  test('is refused for another request', async () => {
    await deploy({}, keyed);
    await expect(deploy({ count: 2 }, keyed)).rejects.toMatchObject({
      code: 'precondition',
      message: 'idempotency_key: "once" was used for a different request',
    });
  });

  test('that came to nothing is free again', async () => {
    const [refused] = await deploy({ ...memory(2 ** 40) }, keyed);
    expect(refused?.event.case).toBe('refused');
    expect(done(await deploy({}, keyed))).toHaveLength(1);
  });

  test('holds for removals and reallocs, and what was removed stays removed', async () => {
    const [id = '', other = ''] = await ids(2, memory(10 * MiB));
    const remove = () => collect(core.eru.remove({ ids: [id], ...keyed }));
    expect(await remove()).toMatchObject([{ id, success: true }]);
    expect(await remove()).toMatchObject([{ id, success: true }]);
    const realloc = () => core.eru.realloc({ id: other, ...memory(5 * MiB), idempotencyKey: 'more' });
    await realloc();
    const { resources } = await realloc();
    expect(JSON.parse(resources)).toMatchObject({ cpumem: { memory_request: 15 * MiB } });
    await atRest();
  });

  test('holds for controls and dissociations: what was told is told again, done or refused', async () => {
    const [id = ''] = await ids(1);
    const control = (type: string) => collect(core.eru.control({ ids: [id], type, idempotencyKey: type }));
    refuse('stop', 0, 1);
    const refused = await control('stop');
    expect(refused).toMatchObject([{ id, success: false, error: 'stop is refused' }]);
    expect(await control('stop')).toEqual(refused);
    expect(machine.workloads().map(({ state }) => state)).toEqual(['running']);
    expect(await control('suspend')).toMatchObject([{ id, success: true, error: '' }]);
    await collect(core.eru.control({ ids: [id], type: 'resume' }));
    expect(await control('suspend')).toMatchObject([{ success: true }]);
    expect(machine.workloads().map(({ state }) => state)).toEqual(['running']);
    const dissociate = () => collect(core.eru.dissociate({ ids: [id], ...keyed }));
    expect(await dissociate()).toMatchObject([{ id, success: true }]);
    expect(await dissociate()).toMatchObject([{ id, success: true }]);
    expect(await collect(core.eru.dissociate({ ids: [id] }))).toMatchObject([{ id, success: false }]);
    await expect(control('jump')).rejects.toMatchObject({ code: 'invalid' });
    await expect(collect(core.eru.control({ type: 'stop' }))).rejects.toMatchObject({ code: 'invalid' });
    await atRest();
  });
});

test('an asynchronous deploy answers with its plan and goes on', async () => {
  const events = await deploy({ count: 3 }, { asynchronous: true });
  expect(events.map(({ event }) => event.case)).toEqual(['planned']);
  await atRest();
  expect(machine.workloads().map(({ state }) => state)).toEqual(['running', 'running', 'running']);
});

test('Realloc refuses what nobody reads, and what does not fit', async () => {
  const [id = ''] = await ids(1, memory(10 * MiB));
  const wrong = { cpumem: json({ memory: 1, memories: 2 }) };
  await expect(core.eru.realloc({ id, resources: wrong })).rejects.toMatchObject({
    code: 'invalid',
    message: 'resources: this cluster has no resource cpumem.memories',
  });
  await expect(core.eru.realloc({ id, ...memory(2 ** 40) })).rejects.toMatchObject({ code: 'no_capacity' });
  await expect(core.eru.realloc({ id: 'x' })).rejects.toMatchObject({ code: 'not_found' });
});

describe('Replace', () => {
  const replace = (rest: Replace, more: Options = {}) =>
    collect(core.eru.replace({ ...rest, options: options({ ...more, env: ['NEW=1'] }) }));
  const olds = (): string[] => machine.workloads().map(({ id }) => id);

  test('rolls: one at a time, and after a failure none is begun', async () => {
    const before = await ids(3);
    refuse('start', 1, 1);
    const events = await replace({ window: 1 });
    expect(events.map(({ success, error, skipped }) => [success, error, skipped])).toEqual([
      [true, '', false],
      [false, 'start is refused', false],
      [false, 'not begun, because an earlier one failed', true],
    ]);
    expect(olds()).toHaveLength(3);
    expect(olds().filter((id) => before.includes(id))).toHaveLength(2);
    expect(machine.workloads().every(({ state }) => state === 'running')).toBe(true);
    await atRest();
  });

  test('with overlap starts the new one first, with the resources that are asked for', async () => {
    const [id = ''] = await ids(1, memory(100 * MiB));
    let together = 0;
    machine.faults = (verb, phase) => {
      if (verb === 'stop' && phase === 'before')
        together = machine.workloads().filter(({ state }) => state === 'running').length;
    };
    const [event] = await replace({ overlap: true }, memory(50 * MiB));
    expect(event).toMatchObject({ oldId: id, success: true });
    expect(together).toBe(2);
    expect(machine.workloads()).toMatchObject([{ limits: { requested: { memoryBytes: 50 * MiB } } }]);
    await atRest();
  });

  test('with overlap needs room for both', async () => {
    const [id = ''] = await ids(1, memory(600 * MiB));
    const [event] = await replace({ overlap: true }, memory(600 * MiB));
    expect(event?.error).toContain('no room for the new one beside the old one on node n1');
    expect(olds()).toEqual([id]);
    await atRest();
  });

  test('behind a gate waits for health, and takes the old one back when it does not come', async () => {
    const [id = ''] = await ids(1);
    const [late] = await replace({ healthGate: 1 });
    expect(late?.error).toMatch(/^app_web_\w+ was not healthy within 1 s$/);
    expect(machine.workloads()).toMatchObject([{ id, state: 'running' }]);
    const { view } = core.core.context;
    const rolling = replace({ healthGate: 30 });
    const made = await view.until(
      () => [...view.workloads].map(([name]) => name).find((name) => name !== id),
      AbortSignal.timeout(10_000),
    );
    const name = expect.stringMatching(/^app_web_/);
    expect(await collect(core.eru.listOperations({ kind: 'roll', workload: id }))).toMatchObject([
      { detail: '1, 1 at a time', name: 'app_web', slots: [{ name, node: 'n1', step: 'replacing', id: '' }] },
    ]);
    await core.rpc.setWorkloadsStatus({ status: [{ id: made, running: true, healthy: true }] });
    expect(await rolling).toMatchObject([{ oldId: id, success: true, created: { id: made } }]);
    await atRest();
  });

  test('with a key is done once', async () => {
    const [id = ''] = await ids(1);
    const request = { ids: [id], idempotencyKey: 'swap' };
    const [first] = await replace(request);
    const { view } = core.core.context;
    expect(first).toMatchObject({ success: true });
    // The old one is gone: only its key tells what became of it.
    expect(view.workloads.get(id)).toBeUndefined();
    const [again] = await replace(request);
    expect(again?.created?.id).toBe(first?.created?.id);
    await expect(replace({ idempotencyKey: 'swap' })).rejects.toMatchObject({ code: 'precondition' });
  });

  test('refusals before any effect', async () => {
    const refused = (rest: Replace, more: Options = {}) => expect(replace(rest, more)).rejects;
    await refused({ window: -1 }).toMatchObject({ code: 'invalid', message: expect.stringContaining('window: -1') });
    await refused({ healthGate: -1 }).toMatchObject({ code: 'invalid' });
    await refused({ ids: ['x'] }).toMatchObject({ code: 'not_found' });
    await refused({}, { podname: 'nowhere' }).toMatchObject({ code: 'not_found' });
    await refused({ overlap: true }, { resources: { cpumem: json(1) } }).toMatchObject({ code: 'invalid' });
  });
});

describe('operations', () => {
  test('are listed while they run, watched as they change, and remembered when they have ended', async () => {
    const [id = ''] = await ids(1, {
      entrypoint: { name: 'web', commands: ['serve'], hook: { afterStart: [], beforeStop: ['drain'], force: false } },
    });
    let goOn = (): void => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    machine.faults = (verb, phase) => (verb === 'stop' && phase === 'before' ? held : undefined);
    const leave = new AbortController();
    const watch = core.eru.watchOperations({}, { signal: leave.signal });
    expect((await watch.next()).value).toMatchObject({ event: { case: 'listed', value: true } });
    const removing = collect(core.eru.remove({ ids: [id] }));
    const steps: string[] = [];
    for await (const { event } of watch) {
      if (event.case !== 'changed') continue;
      steps.push(event.value.step);
      if (event.value.step === 'removing') break;
    }
    const [operation] = await collect(core.eru.listOperations({ workload: id }));
    expect(operation).toMatchObject({
      kind: 'remove',
      detail: 'stop first',
      workload: id,
      node: 'n1',
      step: 'removing',
      hooks: ['stopHooks'],
      ownerAddress: '10.0.0.1:5001',
      ownerAlive: true,
      takeovers: [],
      endedAt: 0n,
    });
    expect(steps).toEqual(['stopHooks', 'removing']);
    goOn();
    expect(text((await removing)[0]?.hook)).toBe('drain\n');
    await atRest();
    expect(await collect(core.eru.listOperations({ workload: id }))).toEqual([]);
    const ended = await core.eru.getOperation({ id: (operation?.id ?? '').slice(0, 6) });
    expect(ended.endedAt).toBeGreaterThan(0n);
    expect((await collect(core.eru.listOperations({ ended: true }))).map(({ kind }) => kind)).toEqual([
      'create',
      'remove',
    ]);
    leave.abort();
  });

  test('of several instances say where each one is', async () => {
    await ids(2);
    const [operation] = await collect(core.eru.listOperations({ ended: true, kind: 'create' }));
    expect(operation).toMatchObject({ detail: 'AUTO 2', name: 'app_web', node: 'n1' });
    expect(operation?.slots.map(({ node, step }) => [node, step])).toEqual([
      ['n1', 'recorded'],
      ['n1', 'recorded'],
    ]);
  });

  test('that nobody knows are not found', async () => {
    await expect(core.eru.getOperation({ id: 'x' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(core.eru.getOperation({})).rejects.toMatchObject({ code: 'not_found' });
  });
});
