import { pb } from '@eru/contract';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startBed, type Bed } from './contract-bed.suite.ts';
import { collect, failure, json } from '../harness.suite.ts';

let bed: Bed;
beforeEach(async () => {
  bed = await startBed();
});
afterEach(() => bed.close());

const machineOf = async (): Promise<unknown> => {
  const [node] = await collect(bed.rpc.listPodNodes({ podname: 'pod', all: true }));
  return JSON.parse(node?.info ?? '')['ID'];
};

test('another endpoint counts at once, and the client of the old one goes when no node is left there', async () => {
  const { rpc } = bed;
  const old = 'mock://n1?cpus=4&memory=1G';
  expect(await machineOf()).toBe('simulated-n1');
  await rpc.addNode({ nodename: 'n2', endpoint: old, podname: 'empty' });
  expect(await rpc.setNode({ nodename: 'n1', endpoint: 'mock://moved' })).toMatchObject({ endpoint: 'mock://moved' });
  expect(await machineOf()).toBe('simulated-moved');
  expect(bed.dropped).toEqual([]);
  await rpc.setNode({ nodename: 'n2', labels: { a: 'b' } });
  expect(bed.dropped).toEqual([]);
  await rpc.removeNode({ nodename: 'n2' });
  expect(bed.dropped).toEqual([old]);
});

test('another certificate is another client', async () => {
  await bed.rpc.setNode({ nodename: 'n1', ca: 'ca', cert: 'cert', key: 'key' });
  await bed.rpc.setNode({ nodename: 'n1', key: 'renewed' });
  await bed.rpc.setNode({ nodename: 'n1' });
  expect(bed.dropped).toHaveLength(2);
  const { ca, cert, key } = bed.core.context.view.nodes.get('n1')?.value ?? {};
  expect({ ca, cert, key }).toEqual({ ca: 'ca', cert: 'cert', key: 'renewed' });
});

test('all at once: what fails changes nothing but the workloads that were to be marked', async () => {
  const { rpc, id } = bed;
  await rpc.setWorkloadsStatus({ status: [{ id, running: true, healthy: true }] });
  const before = await rpc.getNode({ nodename: 'n1' });
  const request = {
    nodename: 'n1',
    bypass: pb.TriOpt.TRUE,
    labels: { a: 'b' },
    workloadsDown: true,
    resources: { cpumem: json({ memory: -1 }) },
  };
  expect(await failure(rpc.setNode(request))).toEqual([1035, expect.stringContaining('invalid memory')]);
  expect(await rpc.getNode({ nodename: 'n1' })).toEqual(before);
  expect((await rpc.getWorkload({ id })).status).toMatchObject({ running: false, healthy: false });
});

test('amounts are set or added, changes at the same time all count, and kinds that nobody knows are ignored', async () => {
  const { rpc } = bed;
  const set = (resources: object, delta = false) =>
    rpc.setNode({ nodename: 'n1', delta, resources: { cpumem: json(resources), unknown: json({ a: 1 }) } });
  await set({ memory: '512M' });
  await Promise.all(Array.from({ length: 8 }, () => set({ memory: '1M' }, true)));
  const node = await set({ memory: '-8M' }, true);
  expect(JSON.parse(node.resourceCapacity)).toMatchObject({ cpumem: { memory: 512 * 2 ** 20, cpu: 4 } });
});

test('every workload is asked for at its engine; each that is not answered for is a line', async () => {
  const { rpc, id } = bed;
  const diffs = async (): Promise<string[]> => (await rpc.getNodeResource({ opts: { nodename: 'n1' } })).diffs;
  expect(await diffs()).toEqual([]);
  bed.machines.resolve('mock://n1').faults = (verb) => {
    if (verb === 'inspect') throw new Error('no answer');
  };
  expect(await diffs()).toEqual([`workload ${id} inspect failed no answer`]);
});

test('a node that goes down takes nothing until it is up again, and its workloads stay', async () => {
  const { rpc, id } = bed;
  const capacity = () => rpc.calculateCapacity({ podname: 'pod', count: 1, entrypoint: { name: 'x' } });
  expect(await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.TRUE })).toMatchObject({ bypass: true });
  expect(await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.KEEP })).toMatchObject({ bypass: true });
  expect((await failure(capacity()))[0]).toBe(1041);
  expect((await rpc.listNodeWorkloads({ nodename: 'n1' })).workloads).toMatchObject([{ id }]);
  expect(await rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.FALSE })).toMatchObject({ bypass: false });
  expect(await capacity()).toMatchObject({ total: 1n });
});
