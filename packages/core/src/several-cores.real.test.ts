import { systemClock } from '@eru/kit';
import { openEtcdStore, type Store } from '@eru/store';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { describeWith } from '../../../tests/parts.ts';
import { EtcdProcess } from '../../store/src/etcd-process.ts';
import { setNodeStatus } from './nodes/status.ts';
import { contest, createOne, startCluster } from './several-cores.suite.ts';

describeWith(['etcd'], 'cores on a real etcd', () => {
  let etcd: EtcdProcess;
  let prefixes = 0;
  beforeAll(async () => {
    etcd = await EtcdProcess.start();
  });
  afterAll(() => etcd.remove());

  const clients = async (count: number): Promise<Store[]> => {
    const prefix = `/cores${prefixes++}/`;
    return Promise.all(Array.from({ length: count }, () => openEtcdStore({ endpoints: [etcd.endpoint], prefix })));
  };

  test('two at once book 2,000 single creates to the last place, and refuse only the rest', async () => {
    const stores = await clients(2);
    const cluster = await startCluster(stores, 100);
    const { acknowledged, refusals, room, broken } = await contest(cluster, 2000);
    expect(broken).toEqual([]);
    expect(new Set(acknowledged).size).toBe(room);
    expect(refusals).toHaveLength(2000 - room);
    await cluster.close();
    await Promise.all(stores.map((store) => store.close()));
  });

  test('an etcd that is gone for longer than every lease: reads go on, writes are refused, no node dies of it', async () => {
    const stores = await clients(2);
    const cluster = await startCluster(stores, 3, { ttlMs: 3000, test: false });
    const [first, second] = cluster.cores as [(typeof cluster.cores)[0], (typeof cluster.cores)[0]];
    const { view } = first.context;
    const nodes = view.nodes.names();
    const stop = new AbortController();
    const agents = nodes.map(async (node) => {
      while (!stop.signal.aborted) {
        await (async () => setNodeStatus(first.context, first.membership.current(), node, 4))().catch(() => {});
        await systemClock.sleep(1000);
      }
    });
    await view.until(() => (nodes.every((node) => view.isAvailable(node)) ? true : undefined), stop.signal);
    const told: string[] = [];
    view.heartbeats.subscribe((node, reports) => told.push(`${node} ${reports}`));
    const id = await createOne(first, 'app', nodes);

    await etcd.kill();
    await systemClock.sleep(7000);
    expect(view.oldMs).toBeGreaterThan(5000);
    expect(view.workloads.get(id)?.value.node).toMatch(/^n00/);
    await expect(createOne(first, 'app', nodes)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('has not answered since'),
    });
    await etcd.start();

    const works = (core: typeof first): Promise<true> =>
      expect
        .poll(() => core.membership.unfit() === undefined && core.context.view.oldMs === undefined, { timeout: 30_000 })
        .toBe(true) as unknown as Promise<true>;
    await Promise.all([works(first), works(second)]);
    expect(await createOne(second, 'app', nodes)).toMatch(/^[0-9a-f]+$/);
    await expect.poll(() => view.workloads.size, { timeout: 30_000 }).toBe(2);
    await systemClock.sleep(4500); // a heartbeat's life
    expect(told).toEqual([]);
    stop.abort();
    await Promise.all(agents);
    await cluster.close();
    await Promise.all(stores.map((store) => store.close()));
  });
});
