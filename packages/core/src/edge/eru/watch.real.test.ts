import type { eru } from '@eru/contract';
import { EruError } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { template } from '../../several-cores.suite.ts';
import { collect, json, startTestCore, type TestCore } from '../harness.suite.ts';

let core: TestCore;
beforeEach(async () => {
  core = await startTestCore();
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
});
afterEach(() => core.close());

const MiB = 2 ** 20;

async function deploy(): Promise<string> {
  const options = {
    name: 'app',
    podname: 'pod',
    count: 1,
    entrypoint: { name: 'web', commands: ['serve'] },
    resources: { cpumem: json({ 'memory-request': MiB, 'memory-limit': MiB }) },
  };
  const events = await collect(core.eru.deploy({ options }));
  return events.flatMap(({ event }) => (event.case === 'done' ? [event.value.id] : []))[0] ?? '';
}

const shown = ({ kind, name, object }: eru.ObjectChange): string =>
  `${kind} ${name} ${object.case === undefined ? 'gone' : 'there'}`;

/** What a stream tells until `done` of everything told so far. */
async function until(
  stream: AsyncIterableIterator<eru.WatchBatch>,
  done: (told: readonly string[]) => boolean,
): Promise<{ told: string[]; revision: bigint }> {
  const told: string[] = [];
  let revision = 0n;
  while (!done(told)) {
    const { value, done: over } = await stream.next();
    if (over === true) throw new Error(`the watch has ended after ${told.join(', ')}`);
    const batch = value as eru.WatchBatch;
    told.push(...batch.changes.map(shown), ...(batch.listed ? ['listed'] : []));
    ({ revision } = batch);
  }
  return { told, revision };
}

const ended = (told: readonly string[]): boolean => told.at(-1)?.startsWith('listed') === true;

describe('Watch', () => {
  test('lists, says so, and goes on with every change', async () => {
    const stream = core.eru.watch({ kinds: ['pod', 'workload'] });
    expect((await until(stream, ended)).told).toEqual(['pod pod there', 'listed']);
    const id = await deploy();
    await until(stream, (told) => told.includes(`workload ${id} there`));
    await collect(core.eru.remove({ ids: [id], force: true }));
    const { told } = await until(stream, (all) => all.includes(`workload ${id} gone`));
    expect(told.filter((line) => !line.startsWith(`workload ${id} `))).toEqual([]);
  });

  test('goes on from any revision that it has told, with what came after it and nothing else', async () => {
    const first = core.eru.watch({ kinds: ['pod'] });
    const { revision } = await until(first, ended);
    const names = Array.from({ length: 20 }, (_, index) => `p${String(index).padStart(2, '0')}`);
    const at: bigint[] = [revision];
    for (const name of names) {
      await core.rpc.addPod({ name });
      at.push((await until(first, (told) => told.includes(`pod ${name} there`))).revision);
    }
    for (const [index, from] of at.entries()) {
      const rest = names.slice(index).map((name) => `pod ${name} there`);
      if (rest.length === 0) continue;
      const resumed = core.eru.watch({ kinds: ['pod'], fromRevision: from });
      expect((await until(resumed, (told) => told.includes('pod p19 there'))).told).toEqual(rest);
      await resumed.return?.();
    }
  });

  test('tells of operations while they run, and of the workloads of a node that dies', async () => {
    await core.rpc.addNode({ nodename: 's1', endpoint: 'sim://s1?cpus=4&memory=1G', podname: 'pod' });
    await core.rpc.setNode({ nodename: 'n1', bypass: 1 });
    await core.rpc.setNodeStatus({ nodename: 's1', ttl: 100n });
    const stream = core.eru.watch({});
    await until(stream, ended);
    const id = await deploy();
    const { told } = await until(stream, (all) => all.some((line) => /^operation \w+ gone$/.test(line)));
    expect(told.some((line) => /^operation \w+ there$/.test(line))).toBe(true);
    await core.rpc.setNodeStatus({ nodename: 's1', ttl: -1n });
    await until(stream, (all) => all.includes('node s1 there') && all.includes(`workload ${id} there`));
    // Who comes later with an old revision is told which nodes are down all the same.
    const { revision } = core.core.context.view;
    const later = core.eru.watch({ fromRevision: BigInt(revision) });
    await until(later, (all) => all.includes('node s1 there') && all.includes(`workload ${id} there`));
  });

  test('refuses what it cannot go on from, and ends with OK when this core stops', async () => {
    await expect(core.eru.watch({ kinds: ['pods'] }).next()).rejects.toMatchObject({ code: 'invalid' });
    await expect(core.eru.watch({ fromRevision: 10n ** 6n }).next()).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('the store is at'),
    });
    const stream = core.eru.watch({});
    const { revision } = await until(stream, ended);
    for (let round = 0; round < 5; round++) await core.rpc.addPod({ name: `x${round}` });
    const { store, view } = core.core.context;
    await store.compact(view.revision);
    view.log.restart(view.revision);
    await expect(core.eru.watch({ fromRevision: revision - 1n }).next()).rejects.toMatchObject({ code: 'compacted' });
    core.stop();
    const rest = await collect(stream);
    expect(rest.flatMap(({ changes }) => changes.map(shown))).toHaveLength(5);
  });

  test('goes on with what the store remembers, on a core that was not there when it happened', async () => {
    const stream = core.eru.watch({ kinds: ['pod'] });
    const { revision } = await until(stream, ended);
    for (const name of ['a', 'b']) await core.rpc.addPod({ name });
    const { view } = core.core.context;
    await view.until(() => (view.log.end >= view.revision ? true : undefined), AbortSignal.timeout(5000));
    view.log.restart(view.revision);
    const resumed = core.eru.watch({ kinds: ['pod'], fromRevision: revision });
    expect((await until(resumed, (told) => told.includes('pod b there'))).told).toEqual(['pod a there', 'pod b there']);
    await core.rpc.addPod({ name: 'c' });
    expect((await until(resumed, (told) => told.length > 0)).told).toEqual(['pod c there']);
  });
});

describe('AskNetwork', () => {
  test.each([
    [{ node: 'n9', verb: 'networks' }, 'not_found', 'n9'],
    [{ node: 'n1', verb: 'release' }, 'invalid', 'write one of networks, pools, reservations, diagnose, reconcile'],
    [{ node: 'n1', verb: 'reservations', request: '[]' }, 'invalid', 'write a JSON object'],
    [{ node: 'n1', verb: 'networks' }, 'unsupported', 'has no network daemon'],
  ])('refuses %j', async (request, code, message) => {
    await expect(core.eru.askNetwork(request)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });
});

describe('CheckNode', () => {
  test('finds nothing on a node that is right', async () => {
    await deploy();
    expect(await core.eru.checkNode({ node: 'n1' })).toMatchObject({ node: 'n1', ok: true, diffs: [] });
    await expect(core.eru.checkNode({ node: 'n9' })).rejects.toMatchObject({ code: 'not_found' });
    core.machines.resolve('mock://n1').faults = () => {
      throw new EruError('unavailable', 'no answer');
    };
    await expect(core.eru.checkNode({ node: 'n1' })).rejects.toMatchObject({
      code: 'unavailable',
      message: 'the engine of node n1: no answer',
      details: { node: 'n1' },
    });
  });

  test('a plan goes by the engines that a node tells of, and learns of another one', async () => {
    const machine = core.machines.resolve('mock://n1');
    const image = { name: 'app', podname: 'pod', count: 1, image: 'web:1', entrypoint: { name: 'web' } };
    const id = await deploy();
    machine.type = 'process';
    await core.eru.checkNode({ node: 'n1', fix: true });
    const lack = 'runs process, not docker';
    for (const nodes of [{}, { nodenames: ['n1'] }]) {
      const options = { ...image, ...nodes };
      const refusal = { refused: [{ node: 'n1', reason: lack }] };
      expect(await core.eru.plan({ options })).toMatchObject({ ok: false, ...refusal });
      const [event] = await collect(core.eru.deploy({ options }));
      expect(event?.event).toMatchObject({ case: 'refused', value: refusal });
    }
    expect(await collect(core.rpc.createWorkload(image))).toMatchObject([
      { success: false, error: 'node map is empty' },
    ]);
    await expect(core.rpc.calculateCapacity(image)).rejects.toMatchObject({ message: 'node map is empty' });
    expect(await collect(core.rpc.replaceWorkload({ deployOpt: image, IDs: [id] }))).toMatchObject([
      { error: `node n1: ${lack}` },
    ]);
    expect((await machine.engine().inspect(id)).state).toBe('running');

    machine.type = 'process+docker';
    expect((await core.eru.checkNode({ node: 'n1' })).diffs).toMatchObject([
      { kind: 'engine', object: 'n1', recorded: 'process', found: 'process+docker' },
    ]);
    await core.eru.checkNode({ node: 'n1', fix: true });
    expect((await core.eru.checkNode({ node: 'n1' })).ok).toBe(true);
    expect(await core.eru.plan({ options: image })).toMatchObject({ ok: true });
  });

  test('a refusal and an explained plan tell of the nodes that were left out, too', async () => {
    core.machines.resolve('mock://n2?cpus=4&memory=1G').type = 'process';
    await core.rpc.addNode({ nodename: 'n2', endpoint: 'mock://n2?cpus=4&memory=1G', podname: 'pod' });
    const options = { name: 'app', podname: 'pod', count: 1, image: 'web:1', entrypoint: { name: 'web' } };
    const lack = { node: 'n2', kind: 'node', reason: 'runs process, not docker' };
    expect(await core.eru.plan({ options, explain: true })).toMatchObject({ ok: true, refused: [lack] });
    const tooMuch = { ...options, resources: { cpumem: json({ 'memory-request': 2 ** 40 }) } };
    const told = [{ node: 'n1', kind: 'cpumem' }, lack];
    expect(await core.eru.plan({ options: tooMuch })).toMatchObject({ ok: false, refused: told });
    const [event] = await collect(core.eru.deploy({ options: tooMuch }));
    expect(event?.event).toMatchObject({ case: 'refused', value: { refused: told } });
  });

  test('says what is different and what is to be done, does it when asked, and leaves alone what is not ours', async () => {
    const [id, other] = [await deploy(), await deploy()];
    const machine = core.machines.resolve('mock://n1');
    const engine = machine.engine();
    const { store } = core.core.context;
    const make = async (name: string, cluster: string): Promise<string> => {
      const labels = { ERU: '1', 'eru.coreid': cluster, 'eru.operation': 'over' };
      return (await engine.create({ ...template, name, env: [], engineParams: {}, labels })).id;
    };
    const orphan = await make('orphan_web_abcdef', core.core.cluster);
    const foreign = await make('foreign_web_abcdef', 'another cluster');
    await engine.update(id, { cpumem: { cpu: 3, memory: 77 * MiB } });
    await core.rpc.setWorkloadsStatus({ status: [{ id: other, running: true, healthy: true }] });
    await engine.stop(other, { graceMs: 0 });
    const kv = await store.get('node-resources/n1');
    const record = JSON.parse(new TextDecoder().decode(kv?.value)) as { usage: { cpumem: { memory: number } } };
    record.usage.cpumem.memory += 12_345;
    await store.txn({ then: [{ op: 'put', key: 'node-resources/n1', value: json(record) }] });

    const kinds = ({ diffs }: eru.CheckNodeResponse): string[] => diffs.map(({ kind, object }) => `${kind} ${object}`);
    const wrong = [`orphan ${orphan}`, `limits ${id}`, `status ${other}`, 'usage n1'];
    const checked = await core.eru.checkNode({ node: 'n1' });
    expect(checked.ok).toBe(false);
    expect(kinds(checked).toSorted()).toEqual(wrong.toSorted());
    for (const { action } of checked.diffs) expect(action).toMatch(/\bto be\b/);
    const fixed = await core.eru.checkNode({ node: 'n1', fix: true });
    expect(kinds(fixed).toSorted()).toEqual(wrong.toSorted());
    for (const { action } of fixed.diffs) expect(action).not.toMatch(/\bto be (removed|told|shown)\b|not mended/);
    expect(await core.eru.checkNode({ node: 'n1' })).toMatchObject({ ok: true, diffs: [] });
    expect(machine.workloads().map((workload) => workload.id)).toContain(foreign);
    const metrics = await (await fetch(`http://${core.address}/metrics`)).text();
    expect(metrics).toContain('eru_reconcile_repairs_total{kind="orphan"} 1');
    expect(metrics).toMatch(/eru_store_seconds_count\{call="txn",outcome="ok"\} \d+/);
    expect(metrics).toMatch(/eru_watch_lag_seconds_count [1-9]/);
    expect(metrics).toMatch(/eru_plan_seconds_count [1-9]/);
    expect(metrics).toMatch(/eru_operation_seconds_count\{kind="create"\} 2/);
    expect(metrics).toContain('nodejs_eventloop_lag_p99_seconds');
    expect(metrics).toContain('eru_writable 1');
  });
});
