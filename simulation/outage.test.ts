import { setNodeStatus } from '@eru/core';
import { describe, expect, it } from 'vitest';

import { World, type LivingCore } from './world.ts';

const ttlS = 15;

interface Fleet {
  world: World;
  cores: LivingCore[];
  /** Nodes that report every third of their heartbeat's life, to whichever core takes it. */
  alive: Set<string>;
  /** What both cores told of nodes, in order. */
  told: string[];
}

async function fleet(seed: number): Promise<Fleet> {
  const world = await World.create({ seed, nodes: 3 });
  const cores = [await world.startCore(), await world.startCore()];
  const [alive, told] = [new Set(['n0', 'n1', 'n2']), [] as string[]];
  for (const node of alive) await world.wantHeartbeats(node);
  const beat = (): void => {
    for (const node of alive) {
      const calls = cores.map(async ({ core: { context, membership } }) =>
        setNodeStatus(context, membership.current(), node, ttlS),
      );
      void Promise.allSettled(calls);
    }
    world.clock.timer((ttlS * 1000) / 3, beat);
  };
  beat();
  await world.clock.advance(1000);
  for (const { core } of cores)
    core.context.view.heartbeats.subscribe((node, reports) => told.push(`${node} ${reports ? 'up' : 'down'}`));
  return { world, cores, alive, told };
}

async function deploy(world: World, core: LivingCore, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of world.deploy(core, count)) {
    if (event.type === 'done' && event.error === undefined) ids.push(event.id);
  }
  return ids;
}

describe('a store that is silent for longer than a lease', () => {
  it('leaves reads as they were, refuses writes at once, and kills no node when it is back', async () => {
    const { world, cores, told } = await fleet(1);
    const [first] = cores as [LivingCore];
    const { context, membership } = first.core;
    const ids = await world.clock.run(deploy(world, first, 3));
    for (const { mortal } of cores) mortal.cut();
    await world.clock.advance(4000);
    expect(context.view.oldMs).toBeUndefined();
    await world.clock.advance(60_000);
    expect(context.view.oldMs).toBeGreaterThan(60_000);
    expect([...context.view.workloads].map(([id]) => id).toSorted()).toEqual(ids.toSorted());
    expect(() => membership.current()).toThrow(
      expect.objectContaining({
        code: 'unavailable',
        message: expect.stringMatching(/has not answered since 2026-01-01T00:00:/),
      }),
    );
    // Every heartbeat and both leases have ended in the store by now.
    expect((await world.store.range({ prefix: 'status/nodes/' })).kvs).toEqual([]);
    expect((await world.store.range({ prefix: 'cores/' })).kvs).toEqual([]);
    for (const { mortal } of cores) mortal.heal();
    await world.clock.advance(20_000);
    expect(told).toEqual([]);
    expect(context.view.oldMs).toBeUndefined();
    expect((await world.store.range({ prefix: 'cores/' })).kvs).toHaveLength(2);
    const more = await world.clock.run(deploy(world, first, 1));
    expect(more).toHaveLength(1);
    await world.settle();
    expect(await world.broken([...ids, ...more])).toEqual([]);
  });

  it('tells of a node that died meanwhile once its agent had time to be heard', async () => {
    const { world, cores, alive, told } = await fleet(2);
    for (const { mortal } of cores) mortal.cut();
    alive.delete('n1');
    await world.clock.advance(40_000);
    for (const { mortal } of cores) mortal.heal();
    await world.clock.advance(ttlS * 1000 - 1000);
    expect(told).toEqual([]);
    await world.clock.advance(5000);
    expect(told).toEqual(['n1 down', 'n1 down']);
    expect(cores[0]?.core.context.view.isAvailable('n1')).toBe(false);
    // All of them see it; one of them, the eldest, tells of it.
    const deaths = await Promise.all(cores.map(async ({ core }) => core.context.measures.deaths.get()));
    expect(deaths.map(({ values }) => values[0]?.value)).toEqual([1, 0]);
  });

  it('believes an agent that takes its leave right after it', async () => {
    const { world, cores, alive, told } = await fleet(4);
    const [first] = cores as [LivingCore];
    for (const { mortal } of cores) mortal.cut();
    alive.clear();
    await world.clock.advance(40_000);
    for (const { mortal } of cores) mortal.heal();
    await world.clock.advance(3000);
    const { context, membership } = first.core;
    await world.clock.run(setNodeStatus(context, membership.current(), 'n2', -1));
    expect(told).toEqual(['n2 down']);
    expect(context.view.isAvailable('n2')).toBe(false);
    expect(context.view.isAvailable('n1')).toBe(true);
  });

  it(
    'ends what was in flight, by its own core in a new stay, at whichever call it began',
    { timeout: 60_000 },
    async () => {
      for (let at = 0; at < 40; at += 3) {
        const world = await World.create({ seed: 100 + at });
        const living = await world.startCore();
        living.mortal.fate = (index) => {
          if (index === at) living.mortal.cut();
          return undefined;
        };
        living.mortal.count();
        const told: string[] = [];
        const client = (async () => told.push(...(await deploy(world, living, 3))))().catch(() => {});
        await world.clock.advance(45_000);
        living.mortal.heal();
        await world.clock.run(client);
        await world.settle();
        expect(await world.broken(told), `cut at await ${at}`).toEqual([]);
      }
    },
  );

  it('does not let the history be read that is gone: everything is listed anew', async () => {
    const world = await World.create({ seed: 3 });
    const living = await world.startCore();
    const { view } = living.core.context;
    const ids = await world.clock.run(deploy(world, living, 2));
    living.mortal.cut();
    await world.clock.advance(30_000);
    const pod = new TextEncoder().encode(JSON.stringify({ v: 1, name: 'new', desc: '' }));
    for (let round = 0; round < 5; round++)
      await world.store.txn({ then: [{ op: 'put', key: 'pods/new', value: pod }] });
    const { revision } = await world.store.range({ key: 'cluster' });
    await world.store.compact(revision);
    living.mortal.breakWatches();
    living.mortal.heal();
    await world.clock.advance(20_000);
    expect(view.pods.names()).toEqual(['new', 'pod']);
    expect(view.oldMs).toBeUndefined();
    await world.settle();
    expect(await world.broken(ids)).toEqual([]);
  });
});
