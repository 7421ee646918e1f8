import { reallocWorkload, removeWorkload, type CreateRequest } from '@eru/core';
import { describe, expect, it } from 'vitest';

import { World, type LivingCore } from './world.ts';

async function deploy(
  world: World,
  core: LivingCore,
  count: number,
  app: string,
  more: Partial<CreateRequest> = {},
): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of world.deploy(core, count, { app, ...more })) {
    if (event.type === 'refused') throw new Error(event.plan.message);
    if (event.type === 'done') {
      if (event.error !== undefined) throw event.error;
      ids.push(event.id);
    }
  }
  return ids;
}

async function recordsOf(world: World): Promise<string[]> {
  const { kvs } = await world.store.range({ prefix: 'workloads/', keysOnly: true });
  return kvs.map(({ key }) => key.slice('workloads/'.length));
}

describe('several cores on one store', () => {
  it('book deploys over the transaction limit, at the same time, without a loss', { timeout: 120_000 }, async () => {
    const world = await World.create({ seed: 3, nodes: 150 });
    const cores = [await world.startCore(), await world.startCore()];
    const ids = await world.clock.run(Promise.all(cores.map((core, index) => deploy(world, core, 150, `app${index}`))));
    await world.settle();
    expect(ids.flat()).toHaveLength(300);
    expect(await world.broken(ids.flat())).toEqual([]);
  });

  it('refuse what does not fit, and book nothing', async () => {
    const world = await World.create({ seed: 4, nodes: 2 });
    const core = await world.startCore();
    await expect(world.clock.run(deploy(world, core, 1000, 'app'))).rejects.toThrow(/need: 1000, available: \d+/);
    expect(await recordsOf(world)).toEqual([]);
    await world.settle();
    expect(await world.broken([])).toEqual([]);
  });

  it('take over what a silent core holds, and that core writes nothing any more when it wakes', async () => {
    const world = await World.create({ seed: 5 });
    const [first, second] = [await world.startCore(), await world.startCore()];
    // Its lease runs out while its calls hang: what it had reserved is undone by the other core.
    first.mortal.fate = (index) => (index === 2 ? 'crash' : undefined);
    first.mortal.count();
    await world.clock.run(Promise.race([deploy(world, first, 3, 'app'), first.mortal.death()]));
    await world.clock.advance(60_000);
    expect(await recordsOf(world)).toEqual([]);
    const ids = await world.clock.run(deploy(world, second, 2, 'app'));
    await world.settle();
    expect(await world.broken(ids)).toEqual([]);
  });
});

describe('the reconciler', () => {
  it('frees a vanished workload after two rounds and the grace time, not before', async () => {
    const world = await World.create({ seed: 6 });
    const core = await world.startCore();
    const ids = await world.clock.run(deploy(world, core, 3, 'app'));
    for (const machine of world.machines.values())
      for (const { id } of machine.workloads()) if (id === ids[0]) await machine.vanish(id);
    await world.clock.advance(14_000);
    expect(await recordsOf(world)).toHaveLength(3);
    await world.clock.advance(180_000);
    expect((await recordsOf(world)).toSorted()).toEqual(ids.slice(1).toSorted());
    expect(await world.broken(ids.slice(1))).toEqual([]);
  });

  it('removes an orphan of ours, and never touches what is not ours', async () => {
    const world = await World.create({ seed: 8 });
    const core = await world.startCore();
    const [machine] = world.machines.values();
    const engine = machine!.engine();
    const template = world.request(1).template;
    const make = (name: string, cluster: string): Promise<unknown> =>
      world.clock.run(
        engine.create({
          ...template,
          name,
          env: [],
          engineParams: {},
          succeeds: '',
          labels: { ERU: '1', 'eru.coreid': cluster, 'eru.operation': 'long-over' },
        }),
      );
    await make('orphan_web_abcdef', core.core.cluster);
    await make('foreign_web_abcdef', 'another cluster');
    await world.clock.advance(120_000);
    expect(machine!.workloads().map(({ name }) => name)).toEqual(['foreign_web_abcdef']);
  });

  it('sets a wrong usage to the sum of what is booked, and wrong limits to the record', async () => {
    const world = await World.create({ seed: 9, nodes: 1 });
    const core = await world.startCore();
    const [id] = await world.clock.run(deploy(world, core, 1, 'app'));
    const key = 'node-resources/n0';
    const kv = await world.store.get(key);
    const record = JSON.parse(new TextDecoder().decode(kv!.value)) as { usage: { cpumem: { memory: number } } };
    record.usage.cpumem.memory += 12_345;
    await world.store.txn({ then: [{ op: 'put', key, value: new TextEncoder().encode(JSON.stringify(record)) }] });
    const engine = world.machines.get('n0')!.engine();
    await world.clock.run(engine.update(id!, { cpumem: { cpu: 7, memory: 1 } }));
    expect(await world.broken([])).not.toEqual([]);
    await world.clock.advance(120_000);
    expect(await world.broken([id!])).toEqual([]);
    expect((await world.clock.run(engine.inspect(id!))).limits.requested).toMatchObject({
      cpu: 1,
      memoryBytes: 256 * 2 ** 20,
    });
  });
});

describe('the shared pool', () => {
  const bound = { resources: { cpumem: { 'cpu-request': 2, 'cpu-limit': 2, 'cpu-bind': true } } };
  const never = new AbortController().signal;
  const cores = async (world: World, id: string): Promise<readonly number[] | undefined> =>
    (await world.clock.run(world.machines.get('n0')!.engine().inspect(id))).limits.requested.cpuset;

  it('is what nobody has bound, for those that are there and those that come; whole again when nobody binds', async () => {
    const world = await World.create({ seed: 10, nodes: 1 });
    const core = await world.startCore();
    const { context, membership } = core.core;
    const [early = ''] = await world.clock.run(deploy(world, core, 1, 'early'));
    await world.clock.advance(1000);
    expect(await cores(world, early)).toBeUndefined();
    const [owner = ''] = await world.clock.run(deploy(world, core, 1, 'owner', bound));
    const own = (await cores(world, owner)) ?? [];
    const others = [0, 1, 2, 3, 4, 5, 6, 7].filter((number) => !own.includes(number));
    expect(own).toHaveLength(2);
    // The one that comes is created with its pool, the other is told at once.
    const [late = ''] = await world.clock.run(deploy(world, core, 1, 'late'));
    expect(await cores(world, late)).toEqual(others);
    await world.clock.advance(1000);
    expect(await cores(world, early)).toEqual(others);
    // A realloc of the one that shares keeps it in the pool.
    const more = { cpumem: { 'memory-request': 1024, 'memory-limit': 1024 } };
    await world.clock.run(reallocWorkload(context, membership.current(), { id: early, resources: more }, never));
    expect(await cores(world, early)).toEqual(others);
    // One of the owner gives a core back.
    const less = { cpumem: { 'cpu-request': -1, 'cpu-limit': -1, 'keep-cpu-bind': true } };
    await world.clock.run(reallocWorkload(context, membership.current(), { id: owner, resources: less }, never));
    await world.clock.advance(1000);
    const kept = (await cores(world, owner)) ?? [];
    expect(own).toEqual(expect.arrayContaining([...kept]));
    expect(await cores(world, early)).toHaveLength(7);
    await world.clock.run(
      removeWorkload(context, membership.current(), { id: owner, stop: true, force: false, graceMs: null }, never),
    );
    await world.clock.advance(1000);
    expect(await cores(world, early)).toBeUndefined();
    expect(await cores(world, late)).toBeUndefined();
    await world.settle();
    expect(await world.broken([early, late])).toEqual([]);
  });

  it('is repaired by the reconciler when the core that should have told it died', async () => {
    const world = await World.create({ seed: 11, nodes: 1 });
    const first = await world.startCore();
    const [shares = ''] = await world.clock.run(deploy(world, first, 1, 'shares'));
    const [owner = ''] = await world.clock.run(deploy(world, first, 1, 'owner', bound));
    first.mortal.die();
    await world.reopenStore();
    await world.startCore();
    expect(await cores(world, shares)).toBeUndefined();
    await world.clock.advance(60_000);
    expect(await cores(world, shares)).toHaveLength(6);
    expect(await world.broken([shares, owner])).toEqual([]);
  });
});

it('keeps the result of a request for an hour', async () => {
  const world = await World.create({ seed: 15 });
  const core = await world.startCore();
  const request = { key: 'key', digest: 'digest' };
  const [id] = await world.clock.run(deploy(world, core, 1, 'app', { request }));
  const result = async (): Promise<unknown> => {
    const kv = await world.store.get('requests/key');
    return kv === undefined ? undefined : JSON.parse(new TextDecoder().decode(kv.value));
  };
  await world.clock.advance(3_500_000);
  expect(await result()).toMatchObject({ result: [{ id, error: '' }] });
  await world.clock.advance(200_000);
  expect(await result()).toBeUndefined();
});

describe('a core that dies', () => {
  const untilDeath = async (world: World, core: LivingCore, work: Promise<unknown>): Promise<void> =>
    world.clock.run(Promise.race([work.catch(() => {}), core.mortal.death()]).then(() => {}));

  it('leaves a deploy that nobody waits for to be finished, hooks that had begun not run again', async () => {
    const world = await World.create({ seed: 12 });
    const first = await world.startCore();
    const second = await world.startCore();
    // In the midst of it: some are recorded, some are not.
    first.mortal.fate = (index) => (index === 16 ? 'crash' : undefined);
    first.mortal.count();
    await untilDeath(world, first, deploy(world, first, 4, 'app', { asynchronous: true }));
    await world.clock.advance(60_000);
    expect(await recordsOf(world)).toHaveLength(4);
    expect([...second.core.context.view.operations]).toEqual([]);
    await world.settle();
    expect(await world.broken(await recordsOf(world))).toEqual([]);
  });

  it('leaves a lambda to be waited for and removed; the header says so', async () => {
    const world = await World.create({ seed: 13, nodes: 1 });
    const first = await world.startCore();
    const second = await world.startCore();
    const running = deploy(world, first, 1, 'app', { lambda: { deadlineMs: 0, follow: undefined } });
    await world.clock.advance(1000);
    first.mortal.die();
    await untilDeath(world, first, running);
    await world.clock.advance(60_000);
    const [operation] = [...second.core.context.view.operations].map(([, { value }]) => value);
    expect(operation).toMatchObject({ kind: 'lambda', takeovers: [{ did: '1 × waiting: repeated' }] });
    const machine = world.machines.get('n0')!;
    await machine.exit(machine.workloads()[0]!.id, 0);
    await world.settle();
    expect(machine.workloads()).toEqual([]);
    expect(await world.broken([])).toEqual([]);
  });

  it('leaves a lambda that is removed at its time', async () => {
    const world = await World.create({ seed: 14, nodes: 1 });
    const first = await world.startCore();
    await world.startCore();
    const deadlineMs = world.clock.now() + 120_000;
    const running = deploy(world, first, 1, 'app', { lambda: { deadlineMs, follow: undefined } });
    await world.clock.advance(1000);
    first.mortal.die();
    await untilDeath(world, first, running);
    await world.clock.advance(60_000);
    expect(await recordsOf(world)).toHaveLength(1);
    await world.clock.advance(90_000);
    expect(await recordsOf(world)).toEqual([]);
    await world.settle();
    expect(await world.broken([])).toEqual([]);
  });
});
