import { pb } from '@eru/contract';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { absent, addPodAndNode, deployed, deployOptions } from './core-rpc.suite.ts';
import { collect, failure, json, startTestCore, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let rpc: TestCore['rpc'];
beforeEach(async () => {
  core = await startTestCore();
  ({ rpc } = core);
});
afterEach(() => core.close());

describe('deploys', () => {
  beforeEach(() => addPodAndNode(rpc));

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
    await deployed(rpc, 1, { nodeFilter: { includes: ['n1'] } });
    await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.FALSE });
    await deployed(rpc);
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
  beforeEach(() => addPodAndNode(rpc));

  test('are read by full id, all or none', async () => {
    const [a = '', b = ''] = await deployed(rpc, 2);
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
    await deployed(rpc, 2, { labels: { tier: 'a' } });
    await deployed(rpc, 1, { name: 'aaa', labels: { tier: 'b' } });
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
    const [id = ''] = await deployed(rpc);
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
    const [id = ''] = await deployed(rpc, 1, { resources: { cpumem: json({ memory: 1024 }) } });
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
    const [id = ''] = await deployed(rpc);
    expect((await failure(collect(rpc.removeWorkload({ IDs: [id, 'x'], force: true }))))[0]).toBe(1075);
    expect((await rpc.getWorkload({ id })).id).toBe(id);
  });
});
