import { pb } from '@eru/contract';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, failure, json, startTestCore, text, type TestCore } from './harness.suite.ts';

let core: TestCore;
let rpc: TestCore['rpc'];
beforeEach(async () => {
  core = await startTestCore();
  ({ rpc } = core);
});
afterEach(() => core.close());

const absent = (key: string): string => `key: ${key}: bad \`Count\` value, entity count invalid`;
const deployOptions = {
  name: 'app',
  podname: 'pod',
  image: 'image',
  count: 1,
  entrypoint: { name: 'web', commands: ['serve'] },
};

async function addPodAndNode(node = 'n1', endpoint = `mock://${node}?cpus=4&memory=1G`): Promise<void> {
  await rpc.addPod({ name: 'pod', desc: 'a pod' }).catch(() => {});
  await rpc.addNode({ nodename: node, endpoint, podname: 'pod' });
}

async function deployed(count = 1, more: Record<string, unknown> = {}): Promise<string[]> {
  const messages = await collect(rpc.createWorkload({ ...deployOptions, count, ...more }));
  expect(messages.map(({ error }) => error)).toEqual(Array.from({ length: count }, () => ''));
  return messages.map(({ id }) => id);
}

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
    await addPodAndNode();
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
    await addPodAndNode();
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
    await addPodAndNode();
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
    await addPodAndNode();
    const [id = ''] = await deployed();
    expect(await failure(rpc.removeNode({ nodename: 'n1' }))).toEqual([
      1032,
      'node not empty, still has workloads associated',
    ]);
    await collect(rpc.removeWorkload({ IDs: [id], force: true }));
    await rpc.removeNode({ nodename: 'n1' });
    expect(await failure(rpc.getNode({ nodename: 'n1' }))).toEqual([1034, absent('/node/n1')]);
    await addPodAndNode();
  });

  test('are listed by pod, label and being up, with what their engines say', async () => {
    await addPodAndNode('n1');
    await addPodAndNode('n2', 'sim://n2');
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
    await addPodAndNode();
    await deployed(1, { resources: { cpumem: json({ 'memory-request': 1024 }) } });
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
    await addPodAndNode();
    const [id = ''] = await deployed();
    await core.machines.resolve('mock://n1').vanish(id);
    const { diffs } = await rpc.getNodeResource({ opts: { nodename: 'n1' } });
    expect(diffs).toEqual([expect.stringMatching(new RegExp(`^workload ${id} inspect failed `))]);
  });
});

describe('heartbeats', () => {
  beforeEach(() => addPodAndNode('n1', 'sim://n1'));

  test('make a node available; a renewal is no event, another life, the end and the removal are', async () => {
    const events = rpc.nodeStatusStream({});
    const beat = (ttl: bigint) => rpc.setNodeStatus({ nodename: 'n1', ttl });
    const first = events.next();
    await settled();
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
    await settled();
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

describe('deploys', () => {
  beforeEach(() => addPodAndNode());

  test('one message for each instance; the workload is as it was asked for', async () => {
    const resources = { cpumem: json({ 'memory-request': 1024, 'cpu-request': 0.5 }) };
    const messages = await collect(
      rpc.createWorkload({
        ...deployOptions,
        count: 2,
        env: ['A=1'],
        networks: { host: '' },
        resources,
        entrypoint: { name: 'web', commands: ['serve'], publish: ['http'] },
      }),
    );
    expect(messages).toHaveLength(2);
    const [first] = messages;
    expect(first).toMatchObject({
      podname: 'pod',
      nodename: 'n1',
      error: '',
      success: true,
      publish: { host: expect.stringMatching(/^127\.0\.0\.1:\d+$/) },
    });
    const workload = await rpc.getWorkload({ id: first?.id ?? '' });
    expect(workload).toMatchObject({
      name: first?.name,
      podname: 'pod',
      nodename: 'n1',
      image: 'image',
      env: ['A=1'],
      status: { id: '', running: false },
    });
    expect(workload.labels).toMatchObject({
      ERU: '1',
      'eru.nodename': 'n1',
      'eru.coreid': core.core.cluster,
      ERU_META: '{"Publish":["http"],"HealthCheck":null}',
    });
    expect(JSON.parse(workload.resources)).toMatchObject({ cpumem: { cpu_request: 0.5, memory_request: 1024 } });
    expect(JSON.parse(first?.resources ?? '')).toEqual(JSON.parse(workload.resources));
    const { resourceUsage } = await rpc.getNode({ nodename: 'n1' });
    expect(JSON.parse(resourceUsage)).toMatchObject({ cpumem: { cpu: 1, memory: 2048 } });
  });

  test('bad input fails the call, and nothing is there afterwards', async () => {
    const create = (options: object): Promise<[unknown, string]> => failure(collect(rpc.createWorkload(options)));
    expect(await create({})).toEqual([1074, 'no entry in spec']);
    expect(await create({ ...deployOptions, image: '' })).toEqual([1074, 'image is empty']);
    expect(await create({ ...deployOptions, count: 0 })).toEqual([1074, 'count is 0']);
    expect(await collect(rpc.listWorkloads({}))).toEqual([]);
  });

  test.each<[string, object]>([
    ['node map is empty', { podname: 'other' }],
    ['node map is empty', { nodeFilter: { excludes: ['n1'] } }],
    ['node map is empty', { nodelabels: { a: 'b' } }],
    [absent('/node/x'), { nodenames: ['x'] }],
    ['deploy method not support yet', { deployStrategy: pb.DeployOptions_Strategy.DUMMY }],
    ['not enough resource', { count: 2, resources: { cpumem: json({ 'memory-request': 600 * 2 ** 20 }) } }],
    ['invalid memory', { resources: { cpumem: json({ 'memory-request': -1 }) } }],
  ])('whatever happens to a good request is one message: %s', async (message, options) => {
    const messages = await collect(rpc.createWorkload({ ...deployOptions, ...options }));
    expect(messages).toEqual([
      expect.objectContaining({ error: expect.stringContaining(message), success: false, id: '', resources: 'null' }),
    ]);
  });

  test('a node that is set not to take workloads is only used when named', async () => {
    await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.TRUE });
    const [refused] = await collect(rpc.createWorkload(deployOptions));
    expect(refused?.error).toBe('node map is empty');
    await deployed(1, { nodeFilter: { includes: ['n1'] } });
    await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.FALSE });
    await deployed();
  });

  test('CalculateCapacity counts, or plans', async () => {
    const memory = { resources: { cpumem: json({ 'memory-request': 200 * 2 ** 20 }) } };
    const calculate = (options: object) => rpc.calculateCapacity({ entrypoint: { name: 'x' }, ...options });
    const dummy = { deployStrategy: pb.DeployOptions_Strategy.DUMMY };
    expect(await calculate({ ...dummy, ...memory })).toMatchObject({ total: 4n, nodeCapacities: { n1: 4n } });
    expect(await calculate(dummy)).toMatchObject({ total: 2n ** 63n - 1n });
    expect(await calculate({ podname: 'pod', count: 3, ...memory })).toMatchObject({
      total: 3n,
      nodeCapacities: { n1: 3n },
    });
    const lacking =
      'no node meets all the resource requirements at the same time: cannot alloc a plan, not enough resource';
    expect(await failure(calculate({ ...dummy, resources: { cpumem: json({ memory: 2 ** 40 }) } }))).toEqual([
      1041,
      lacking,
    ]);
    expect(await failure(calculate({ count: 9, ...memory }))).toEqual([
      1041,
      expect.stringContaining('not enough resource'),
    ]);
    expect(await failure(calculate({ count: 0 }))).toEqual([1041, 'count: 0: invalid deploy count']);
    expect(await failure(calculate({ count: 1, nodenames: ['x'] }))).toEqual([1041, absent('/node/x')]);
    expect(await failure(calculate({ count: 1, deployStrategy: 7 }))).toEqual([1041, 'deploy method not support yet']);
    expect(await failure(rpc.calculateCapacity({}))).toEqual([1041, 'no entry in spec']);
  });
});

describe('workloads', () => {
  beforeEach(() => addPodAndNode());

  test('are read by full id, all or none', async () => {
    const [a = '', b = ''] = await deployed(2);
    expect((await rpc.getWorkloads({ IDs: [b, a] })).workloads.map(({ id }) => id)).toEqual([b, a]);
    expect((await rpc.getWorkloads({})).workloads).toEqual([]);
    expect(await failure(rpc.getWorkloads({ IDs: [a, 'x'] }))).toEqual([1052, absent('/workloads/x')]);
    expect(await failure(rpc.getWorkload({}))).toEqual([1051, 'workload ID is empty']);
    expect(await failure(rpc.getWorkload({ id: a.slice(0, 8) }))).toEqual([
      1051,
      absent(`/workloads/${a.slice(0, 8)}`),
    ]);
  });

  test('are listed by a hierarchical filter; the limit comes before the labels', async () => {
    await deployed(2, { labels: { tier: 'a' } });
    await deployed(1, { name: 'aaa', labels: { tier: 'b' } });
    const apps = async (filter: object): Promise<string[]> =>
      (await collect(rpc.listWorkloads(filter))).map(({ name }) => name.split('_')[0] ?? '');
    expect(await apps({})).toEqual(['aaa', 'app', 'app']);
    expect(await apps({ appname: 'app', entrypoint: 'web', nodename: 'n1' })).toHaveLength(2);
    expect(await apps({ appname: 'app', entrypoint: 'api' })).toEqual([]);
    expect(await apps({ entrypoint: 'api', nodename: 'x' })).toHaveLength(3);
    expect(await apps({ labels: { tier: 'a' } })).toEqual(['app', 'app']);
    expect(await apps({ limit: 1n, labels: { tier: 'a' } })).toEqual([]);
    expect((await rpc.listNodeWorkloads({ nodename: 'n1', labels: { tier: 'b' } })).workloads).toHaveLength(1);
  });

  test('are controlled one message each; what fails is in it', async () => {
    const [id = ''] = await deployed();
    const control = async (options: object) =>
      (await collect(rpc.controlWorkload(options))).map((message) => [message.id, message.error]);
    const state = (): string | undefined => core.machines.resolve('mock://n1').workloads()[0]?.state;
    expect(await control({ IDs: [id], type: 'stop' })).toEqual([[id, '']]);
    expect(state()).toBe('exited');
    expect(await control({ IDs: [id], type: 'restart' })).toEqual([[id, '']]);
    expect(state()).toBe('running');
    expect(await control({ IDs: [id], type: 'limits' })).toEqual([[id, 'unknown control type']]);
    expect(await control({ IDs: ['x'], type: 'nonsense' })).toEqual([['x', absent('/workloads/x')]]);
    expect(await failure(collect(rpc.controlWorkload({ type: 'stop' })))).toEqual([2, 'no workload IDs given']);
  });

  test('a running one is only removed by force; nothing of it stays', async () => {
    const [id = ''] = await deployed(1, { resources: { cpumem: json({ memory: 1024 }) } });
    const [refused] = await collect(rpc.removeWorkload({ IDs: [id] }));
    expect(refused).toMatchObject({ id, success: false });
    expect(refused?.hook).not.toBe('');
    expect(await collect(rpc.removeWorkload({ IDs: [id], force: true }))).toMatchObject([
      { id, success: true, hook: '' },
    ]);
    expect(core.machines.resolve('mock://n1').workloads()).toEqual([]);
    expect(JSON.parse((await rpc.getNode({ nodename: 'n1' })).resourceUsage)).toMatchObject({ cpumem: { memory: 0 } });
    expect(await failure(collect(rpc.removeWorkload({ IDs: [id] })))).toEqual([1075, absent(`/workloads/${id}`)]);
    expect(await failure(collect(rpc.removeWorkload({})))).toEqual([2, 'no workload IDs given']);
  });

  test('an unknown id among those to remove keeps all of them', async () => {
    const [id = ''] = await deployed();
    expect((await failure(collect(rpc.removeWorkload({ IDs: [id, 'x'], force: true }))))[0]).toBe(1075);
    expect((await rpc.getWorkload({ id })).id).toBe(id);
  });
});

describe('statuses', () => {
  let id: string;
  beforeEach(async () => {
    await addPodAndNode();
    [id = ''] = await deployed(1, { labels: { tier: 'a' } });
  });
  const report = (status: object) =>
    rpc.setWorkloadsStatus({
      status: [{ id, appname: 'app', nodename: 'n1', running: true, healthy: true, ...status }],
    });

  test('are stored as they are, and shown with the workload', async () => {
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toMatchObject([{ id, running: false }]);
    const { status } = await report({ networks: { host: '10.0.0.7/24' }, extension: json({ a: 'b' }) });
    expect(status).toMatchObject([
      { id, running: true, healthy: true, networks: { host: '10.0.0.7/24' }, ttl: 0n, appname: '' },
    ]);
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toEqual(status);
    expect(text((await rpc.getWorkload({ id })).status?.extension)).toBe('{"a":"b"}');
    await rpc.setNode({ nodename: 'n1', workloadsDown: true });
    expect((await rpc.getWorkload({ id })).status).toMatchObject({
      id,
      running: false,
      healthy: false,
      networks: { host: '10.0.0.7/24' },
    });
  });

  test('events: a change is one, the same again is none; labels and names filter', async () => {
    const [all, others] = [
      rpc.workloadStatusStream({ appname: 'app' }),
      rpc.workloadStatusStream({ labels: { tier: 'b' } }),
    ];
    const [first, other] = [all.next(), others.next()];
    await settled();
    await report({});
    expect((await first).value).toMatchObject({
      id,
      error: '',
      delete: false,
      workload: { id },
      status: { id, running: true },
    });
    const { revision } = core.core.context.view;
    await report({});
    await report({});
    expect(core.core.context.view.revision).toBe(revision);
    await report({ healthy: false });
    expect((await all.next()).value).toMatchObject({ status: { healthy: false } });
    await collect(rpc.removeWorkload({ IDs: [id], force: true }));
    const gone = (await all.next()).value;
    expect(gone).toMatchObject({ id, delete: true, error: absent(`/workloads/${id}`) });
    expect(gone?.workload).toBeUndefined();
    // Labels of a workload that is gone are not known any more: everybody who may have seen it is told.
    expect((await other).value).toMatchObject({ id, delete: true });
    core.stop();
    expect(await all.next()).toMatchObject({ done: true });
  });

  test('with a life of their own lapse, and say so with the workload and an empty status', async () => {
    const events = rpc.workloadStatusStream({});
    const first = events.next();
    await settled();
    await report({ ttl: 1n });
    await first;
    const lapsed = (await events.next()).value;
    expect(lapsed).toMatchObject({ id, delete: true, error: '', workload: { id } });
    expect(lapsed?.status).toMatchObject({ id: '', running: false });
  });

  test('of an unknown workload end the call; those before it are written', async () => {
    const status = [{ id, running: true }, { id: 'x' }, { id }];
    expect(await failure(rpc.setWorkloadsStatus({ status }))).toEqual([1056, absent('/workloads/x')]);
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toMatchObject([{ running: true }]);
    expect((await rpc.setWorkloadsStatus({})).status).toEqual([]);
    expect(await failure(rpc.getWorkloadsStatus({ IDs: [id, 'x'] }))).toEqual([1055, absent('/workloads/x')]);
  });

  test('nothing runs, as far as anyone can tell, on a node without a heartbeat', async () => {
    await addPodAndNode('n2', 'sim://n2');
    await rpc.setNodeStatus({ nodename: 'n2', ttl: 60n });
    const [there = ''] = await deployed(1, { nodenames: ['n2'] });
    await rpc.setWorkloadsStatus({ status: [{ id: there, running: true, healthy: true }] });
    expect((await rpc.getWorkload({ id: there })).status).toMatchObject({ running: true });
    const events = rpc.workloadStatusStream({});
    const first = events.next();
    await settled();
    await rpc.setNodeStatus({ nodename: 'n2', ttl: -1n });
    expect((await first).value).toMatchObject({ id: there, status: { running: false, healthy: false }, delete: false });
    expect((await rpc.getWorkload({ id: there })).status).toMatchObject({ running: false });
    await rpc.setNodeStatus({ nodename: 'n2', ttl: 60n });
    expect((await events.next()).value).toMatchObject({ id: there, status: { running: true } });
  });
});

describe('streams of one workload', () => {
  let id: string;
  beforeEach(async () => {
    await addPodAndNode();
    [id = ''] = await deployed(1, { entrypoint: { name: 'web', commands: ['serve', 'one', 'two'] } });
  });

  test('logs come line by line; follow goes on until this core stops', async () => {
    const stream = rpc.logStream({ id, tail: '2', follow: true });
    const lines = [(await stream.next()).value, (await stream.next()).value];
    expect(lines.map((line) => text(line?.data))).toEqual(['two\n', 'ready\n']);
    await core.machines.resolve('mock://n1').print(id, 'more\n', 'stderr');
    expect((await stream.next()).value).toMatchObject({ id, stdStreamType: pb.StdStreamType.STDERR });
    core.stop();
    expect(await stream.next()).toMatchObject({ done: true });
  });

  test.each([
    ['no id', {}, 'workload ID is empty'],
    ['an unknown id', { id: 'x' }, absent('/workloads/x')],
  ])('logs of %s are one message with the error', async (_what, request, error) => {
    expect(await collect(rpc.logStream(request))).toMatchObject([{ error }]);
  });

  test('a bad time is told the same way', async () => {
    expect(await collect(rpc.logStream({ id, since: 'yesterday' }))).toMatchObject([
      { id, error: expect.stringContaining('since') },
    ]);
  });

  const exec = async (...messages: object[]) =>
    collect(
      rpc.executeWorkload(
        (async function* () {
          yield* messages;
        })(),
      ),
    );

  test('a command without stdin: lines of both streams, then its exit code', async () => {
    const messages = await exec({ workloadId: id, commands: ['speak'] });
    expect(messages.map(({ data, stdStreamType }) => [text(data), stdStreamType])).toEqual([
      ['out\n', 0],
      ['err\n', 1],
      ['[exitcode] 3', 0],
    ]);
  });

  test('with stdin: what is typed goes in, a size resizes, Ctrl-] ends it', async () => {
    const size = Buffer.concat([Uint8Array.of(0x80), json({ Row: 5, Col: 7 })]);
    const messages = await exec(
      { workloadId: id, commands: ['size'], openStdin: true },
      { replCmd: size },
      { replCmd: new TextEncoder().encode('x') },
      { replCmd: Uint8Array.of(0x1d) },
    );
    expect(messages.map(({ data }) => text(data)).join('')).toMatch(/^5 7\r?\n\[exitcode\] 0$/);
  });

  test('what fails is a message without an exit code', async () => {
    expect((await exec({ workloadId: 'x', commands: ['speak'] })).map(({ data }) => text(data))).toEqual([
      absent('/workloads/x'),
    ]);
    expect((await failure(exec()))[0]).toBe(1079);
  });
});

/** A stream of live events stands once the server has taken the call; a call after it on the same connection is answered later. */
async function settled(): Promise<void> {
  await rpc.info({});
}
