import { pb } from '@eru/contract';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { absent, addPodAndNode, deployed, settled } from './core-rpc.suite.ts';
import { collect, failure, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let rpc: TestCore['rpc'];
beforeEach(async () => {
  core = await startTestCore();
  ({ rpc } = core);
});
afterEach(() => core.close());

test('Info tells who this is', async () => {
  expect(await rpc.info({})).toMatchObject({ version: 'test', identifier: core.core.cluster });
  expect(core.core.cluster).toMatch(/^[0-9a-f]{64}$/);
});

test('WatchServiceStatus begins with a snapshot and ends with OK when this core stops', async () => {
  const stream = rpc.watchServiceStatus({});
  expect((await stream.next()).value).toMatchObject({ addresses: ['10.0.0.1:5001'], intervalInSecond: 30n });
  core.stop();
  expect(await stream.next()).toMatchObject({ done: true });
});

describe('pods', () => {
  test('are added, read, listed in name order and removed', async () => {
    await rpc.addPod({ name: 'b', desc: 'second' });
    await rpc.addPod({ name: 'a' });
    expect(await rpc.getPod({ name: 'b' })).toMatchObject({ name: 'b', desc: 'second' });
    expect((await rpc.listPods({})).pods.map(({ name }) => name)).toEqual(['a', 'b']);
    await rpc.removePod({ name: 'a' });
    expect((await rpc.listPods({})).pods).toHaveLength(1);
  });

  test('refusals', async () => {
    await addPodAndNode(rpc);
    expect(await failure(rpc.addPod({}))).toEqual([1021, 'pod name is empty']);
    expect(await failure(rpc.addPod({ name: 'pod' }))).toEqual([1021, 'key exists']);
    expect((await failure(rpc.addPod({ name: 'a/b' })))[0]).toBe(1021);
    expect(await failure(rpc.removePod({}))).toEqual([1022, 'pod name is empty']);
    expect(await failure(rpc.removePod({ name: 'x' }))).toEqual([1022, 'podname: x: pod not found']);
    expect(await failure(rpc.removePod({ name: 'pod' }))).toEqual([
      1022,
      'pod pod still has 1 nodes, delete them first: pod has nodes',
    ]);
    expect(await failure(rpc.getPod({}))).toEqual([1023, 'pod name is empty']);
    expect(await failure(rpc.getPod({ name: 'x' }))).toEqual([1023, absent('/pod/info/x')]);
  });
});

describe('nodes', () => {
  test('a new node takes its capacity from the machine, its usage is not told', async () => {
    await rpc.addPod({ name: 'pod' });
    const added = await rpc.addNode({
      nodename: 'n1',
      endpoint: 'mock://n1?cpus=4&memory=10G',
      podname: 'pod',
      labels: { a: 'b' },
      resources: { cpumem: json({}) },
    });
    expect(added).toMatchObject({
      name: 'n1',
      podname: 'pod',
      available: true,
      bypass: false,
      test: true,
      resourceUsage: 'null',
      labels: { a: 'b' },
    });
    expect(JSON.parse(added.resourceCapacity)).toMatchObject({ cpumem: { cpu: 4, memory: 8 * 2 ** 30 } });
    expect(JSON.parse((await rpc.getNode({ nodename: 'n1' })).resourceUsage)).toMatchObject({
      cpumem: { cpu: 0, memory: 0 },
    });
    expect(await rpc.getNodeEngineInfo({ nodename: 'n1' })).toMatchObject({ type: 'simulated' });
  });

  test('refusals of AddNode, in their order', async () => {
    await addPodAndNode(rpc);
    const add = (node: object): Promise<[unknown, string]> => failure(rpc.addNode(node));
    expect(await add({})).toEqual([1031, 'node name is empty']);
    expect(await add({ nodename: 'n2' })).toEqual([1031, 'pod name is empty']);
    expect(await add({ nodename: 'n2', podname: 'pod' })).toEqual([1031, 'invalid node endpoint']);
    expect(await add({ nodename: 'n2', podname: 'pod', endpoint: 'ftp://x' })).toEqual([
      1031,
      'endpoint invalid ftp://x: invalid node endpoint',
    ]);
    expect(await add({ nodename: 'n1', podname: 'x', endpoint: 'mock://n1' })).toEqual([1031, 'node already exists']);
    expect(await add({ nodename: 'n2', podname: 'x', endpoint: 'mock://n2' })).toEqual([1031, absent('/pod/info/x')]);
    expect((await add({ nodename: 'a/b', podname: 'pod', endpoint: 'mock://n2' }))[1]).toContain('node name: "a/b"');
    expect((await rpc.getNode({ nodename: 'n1' })).podname).toBe('pod');
  });

  test('unknown and unnamed nodes', async () => {
    for (const [call, code] of [
      [rpc.removeNode, 1032],
      [rpc.getNode, 1034],
      [rpc.setNode, 1035],
      [rpc.getNodeEngineInfo, 1038],
    ] as const) {
      expect(await failure(call({}))).toEqual([code, 'node name is empty']);
      expect(await failure(call({ nodename: 'x' }))).toEqual([code, absent('/node/x')]);
    }
    expect(await failure(rpc.getNodeResource({}))).toEqual([1037, 'node name is empty']);
    expect(await failure(rpc.getNodeResource({ opts: { nodename: 'x' } }))).toEqual([1037, absent('/node/x')]);
    expect(await failure(rpc.listNodeWorkloads({}))).toEqual([1054, 'node name is empty']);
    expect((await rpc.listNodeWorkloads({ nodename: 'x' })).workloads).toEqual([]);
  });

  test('SetNode changes what is given and keeps the rest', async () => {
    await addPodAndNode(rpc);
    const set = (change: object) => rpc.setNode({ nodename: 'n1', ...change });
    expect(await set({ labels: { a: 'b' }, resources: { cpumem: json({ memory: 2 ** 30 }) } })).toMatchObject({
      labels: { a: 'b' },
      bypass: false,
    });
    const raised = await set({ resources: { cpumem: json({ memory: 1024 }) }, delta: true });
    expect(JSON.parse(raised.resourceCapacity)).toMatchObject({ cpumem: { memory: 2 ** 30 + 1024, cpu: 4 } });
    expect(await set({ bypass: pb.TriOpt.TRUE })).toMatchObject({ bypass: true, available: false, labels: { a: 'b' } });
    expect(await set({ resources: { cpumem: json({}) } })).toMatchObject({ bypass: true });
    expect(await set({ bypass: pb.TriOpt.FALSE })).toMatchObject({ bypass: false, available: true });
    expect(await failure(set({ resources: { cpumem: json({ memory: -1 }) } }))).toEqual([
      1035,
      expect.stringContaining('invalid memory'),
    ]);
    expect(await failure(set({ endpoint: 'ftp://x' }))).toEqual([
      1035,
      'endpoint invalid ftp://x: invalid node endpoint',
    ]);
  });

  test('a node with workloads stays; one without goes, and can come again', async () => {
    await addPodAndNode(rpc);
    const [id = ''] = await deployed(rpc);
    expect(await failure(rpc.removeNode({ nodename: 'n1' }))).toEqual([
      1032,
      'node not empty, still has workloads associated',
    ]);
    await collect(rpc.removeWorkload({ IDs: [id], force: true }));
    await rpc.removeNode({ nodename: 'n1' });
    expect(await failure(rpc.getNode({ nodename: 'n1' }))).toEqual([1034, absent('/node/n1')]);
    await addPodAndNode(rpc);
  });

  test('are listed by pod, label and being up, with what their engines say', async () => {
    await addPodAndNode(rpc, 'n1');
    await addPodAndNode(rpc, 'n2', 'sim://n2');
    const list = async (filter: object): Promise<string[]> =>
      (await collect(rpc.listPodNodes({ skipInfo: true, ...filter }))).map(({ name }) => name);
    expect(await list({ all: true })).toEqual(['n1', 'n2']);
    expect(await list({ podname: 'pod' })).toEqual(['n1']);
    expect(await list({ podname: 'other', all: true })).toEqual([]);
    expect(await list({ all: true, labels: { a: 'b' } })).toEqual([]);
    const [node] = await collect(rpc.listPodNodes({ podname: 'pod' }));
    expect(JSON.parse(node?.info ?? '')).toMatchObject({ Type: 'simulated', NCPU: 4 });
    core.machines.resolve('mock://n1').faults = async () => {
      throw new Error('no answer');
    };
    expect((await collect(rpc.listPodNodes({ podname: 'pod' })))[0]).toMatchObject({
      available: false,
      info: expect.stringContaining('no answer'),
    });
  });

  test('a usage that is wrong is told, and set right when asked', async () => {
    await addPodAndNode(rpc);
    await deployed(rpc, 1, { resources: { cpumem: json({ 'memory-request': 1024 }) } });
    const { store } = core.core.context;
    const kv = await store.get('node-resources/n1');
    const broken = text(kv?.value).replace('"memory":1024', '"memory":4096');
    await store.txn({ then: [{ op: 'put', key: 'node-resources/n1', value: new TextEncoder().encode(broken) }] });
    const check = async (fix: boolean) => rpc.getNodeResource({ opts: { nodename: 'n1' }, fix });
    const lines = ['node.MemoryUsed != sum(workload.MemoryRequest): 4096 != 1024'];
    expect(await check(false)).toMatchObject({ diffs: lines });
    expect(await check(true)).toMatchObject({ diffs: lines });
    const after = await check(false);
    expect(after.diffs).toEqual([]);
    expect(JSON.parse(after.resourceUsage)).toMatchObject({ cpumem: { memory: 1024 } });
    const [resource] = await collect(rpc.getPodResource({ name: 'pod' }));
    expect(resource).toMatchObject({ name: 'n1', diffs: [] });
  });

  test('a workload that its engine does not know is a line', async () => {
    await addPodAndNode(rpc);
    const [id = ''] = await deployed(rpc);
    await core.machines.resolve('mock://n1').vanish(id);
    const { diffs } = await rpc.getNodeResource({ opts: { nodename: 'n1' } });
    expect(diffs).toEqual([expect.stringMatching(new RegExp(`^workload ${id} inspect failed `))]);
  });
});

describe('heartbeats', () => {
  beforeEach(() => addPodAndNode(rpc, 'n1', 'sim://n1'));

  test('make a node available; a renewal is no event, another life, the end and the removal are', async () => {
    const events = rpc.nodeStatusStream({});
    const beat = (ttl: bigint) => rpc.setNodeStatus({ nodename: 'n1', ttl });
    const first = events.next();
    await settled(rpc);
    expect((await rpc.getNode({ nodename: 'n1' })).available).toBe(false);
    await beat(60n);
    expect((await first).value).toMatchObject({ nodename: 'n1', podname: 'pod', alive: true, error: '' });
    expect((await rpc.getNode({ nodename: 'n1' })).available).toBe(true);
    expect(await rpc.getNodeStatus({ nodename: 'n1' })).toMatchObject({ nodename: 'n1', podname: 'pod', alive: true });
    const before = core.core.context.view.nodeStatuses.get('n1')?.modRevision;
    await beat(60n);
    expect(core.core.context.view.nodeStatuses.get('n1')?.modRevision).toBe(before);
    await beat(30n);
    expect((await events.next()).value).toMatchObject({ alive: true });
    await beat(-1n);
    expect((await events.next()).value).toMatchObject({ podname: 'pod', alive: false, error: '' });
    await rpc.removeNode({ nodename: 'n1' });
    expect((await events.next()).value).toMatchObject({
      nodename: 'n1',
      podname: '',
      alive: false,
      error: absent('/node/n1'),
    });
    core.stop();
    expect(await events.next()).toMatchObject({ done: true });
  });

  test('lapse by themselves', async () => {
    const events = rpc.nodeStatusStream({});
    const first = events.next();
    await settled(rpc);
    await rpc.setNodeStatus({ nodename: 'n1', ttl: 1n });
    expect((await first).value).toMatchObject({ alive: true });
    expect((await events.next()).value).toMatchObject({ alive: false });
    expect(await failure(rpc.getNodeStatus({ nodename: 'n1' }))).toEqual([1038, absent('/status:node/n1')]);
  });

  test('refusals', async () => {
    expect(await failure(rpc.setNodeStatus({ nodename: 'x' }))).toEqual([1036, absent('/node/x')]);
    expect(await failure(rpc.setNodeStatus({ ttl: 1n }))).toEqual([1036, absent('/node/')]);
    expect(await failure(rpc.setNodeStatus({ nodename: 'n1' }))).toEqual([
      1036,
      'invalid TTL for node status, should be > 0',
    ]);
    expect(await failure(rpc.getNodeStatus({}))).toEqual([1038, absent('/status:node/')]);
  });
});
