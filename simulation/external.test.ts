import { EruError, isEruError } from '@eru/kit';
import { reallocWorkload, removeWorkload } from '@eru/core';
import { describe, expect, it } from 'vitest';

import type { FakeKinds } from './fake-kinds.ts';
import { World, type LivingCore } from './world.ts';

const never = new AbortController().signal;

async function start(seed: number): Promise<{ world: World; core: LivingCore; kinds: FakeKinds }> {
  const world = await World.create({ seed, external: true });
  const core = await world.startCore();
  if (world.kinds === undefined) throw new EruError('internal', 'a world with kinds');
  return { world, core, kinds: world.kinds };
}

/** Ids of what was made; throws what was refused. */
async function deploy(world: World, core: LivingCore, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of world.deploy(core, count)) {
    if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message, { details: { ...event.plan } });
    if (event.type === 'done' && event.error === undefined) ids.push(event.id);
  }
  return ids;
}

function remove({ core }: LivingCore, id: string): Promise<unknown> {
  const request = { id, stop: true, force: false, graceMs: null };
  return removeWorkload(core.context, core.membership.current(), request, never);
}

const used = (kinds: FakeKinds): number => [...kinds.nodes.values()].reduce((total, node) => total + node.used, 0);

describe('an external kind', () => {
  it('bounds a plan, and is named by the refusal', async () => {
    const { world, core, kinds } = await start(1);
    expect(await world.clock.run(deploy(world, core, 18))).toHaveLength(18);
    expect(used(kinds)).toBe(18);
    const refused = world.clock.run(deploy(world, core, 1));
    await expect(refused).rejects.toMatchObject({
      code: 'no_capacity',
      details: { refused: [{ node: 'n0', kind: 'seats', reason: 'seats capacity' }, { node: 'n1' }, { node: 'n2' }] },
    });
  });

  it('that refuses to book fails the whole deploy in its words, and nothing is left', async () => {
    const { world, core, kinds } = await start(2);
    kinds.refuse = (_call, node) => {
      if (node === 'n2')
        throw new EruError('failed', 'plugin seats, set-node-resource-usage: the licence server is down');
    };
    await expect(world.clock.run(deploy(world, core, 3))).rejects.toMatchObject({
      message: 'plugin seats, set-node-resource-usage: the licence server is down',
    });
    kinds.refuse = () => {};
    await world.settle();
    expect(used(kinds)).toBe(0);
    expect(await world.broken([])).toEqual([]);
    expect([...world.violations]).toEqual([]);
  });

  it('that fails to give back holds up no removal, and is settled when it can be', async () => {
    const { world, core, kinds } = await start(3);
    const [id = ''] = await world.clock.run(deploy(world, core, 1));
    kinds.refuse = () => {
      throw new EruError('failed', 'seats: the licence server is down');
    };
    await world.clock.run(remove(core, id));
    kinds.refuse = () => {};
    await world.settle();
    expect(used(kinds)).toBe(0);
    expect(await world.broken([])).toEqual([]);
  });

  it('that does not answer ends a deploy in time, before anything is booked', async () => {
    const { world, core, kinds } = await start(4);
    kinds.ask = () => new Promise(() => {});
    const refused = deploy(world, core, 1).catch((error: unknown) => EruError.from(error).message);
    await world.clock.advance(31_000);
    expect(await refused).toBe('resource plugins (seats) did not answer within 30 s');
    expect(await world.broken([])).toEqual([]);
  });

  it('that is new to a cluster is told of every node and what is held there', async () => {
    const { world, core, kinds } = await start(5);
    await world.clock.run(deploy(world, core, 4));
    core.mortal.die();
    kinds.nodes.clear();
    await world.reopenStore();
    const next = await world.startCore();
    expect([kinds.nodes.size, used(kinds)]).toEqual([3, 4]);
    expect(await world.clock.run(deploy(world, next, 1))).toHaveLength(1);
  });

  it('that heard the late call of a dead core is set right by two rounds of the reconciler', async () => {
    const { world, core, kinds } = await start(6);
    await world.clock.run(deploy(world, core, 3));
    await world.clock.run(kinds.book('n1', [{ seats: { n: 2 } }], 'add'));
    await world.clock.advance(10 * 60_000);
    expect(used(kinds)).toBe(3);
  });

  it('is never booked over by two cores that want its last seats', { timeout: 120_000 }, async () => {
    const { world, core, kinds } = await start(7);
    const cores = [core, await world.startCore()];
    const outcomes = await world.clock.run(
      Promise.allSettled(Array.from({ length: 26 }, (_, index) => deploy(world, cores[index % 2] as LivingCore, 1))),
    );
    const made = outcomes.filter((outcome) => outcome.status === 'fulfilled');
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(isEruError(outcome.reason, 'no_capacity')).toBe(true);
    await world.settle();
    expect([...world.violations]).toEqual([]);
    expect(used(kinds)).toBe(made.length);
    // Who lost the last seat of a node to the other core was refused; there is room for as many again.
    for (let left = 18 - made.length; left > 0; left--) await world.clock.run(deploy(world, core, 1));
    expect(used(kinds)).toBe(18);
  });
});

describe('without external kinds', () => {
  it('operations cost what they cost before: as many transactions, none about external kinds', async () => {
    const plain = await life(false);
    expect(plain.transactions).toEqual({ create: 4, realloc: 3, remove: 3 });
    expect(plain.external).toBe(0);
    const outside = await life(true);
    expect(outside.external).toBeGreaterThan(0);
  });
});

/** Transactions of one create, realloc and remove, and how many of them speak of external kinds. */
async function life(external: boolean): Promise<{ transactions: Record<string, number>; external: number }> {
  const world = await World.create({ seed: 8, external });
  const core = await world.startCore();
  let count = 0;
  let about = 0;
  world.onTransaction = ({ then }) => {
    count += 1;
    if (then.some((op) => 'key' in op && op.key.startsWith('external/'))) about += 1;
  };
  const transactions: Record<string, number> = {};
  const measure = async <T>(name: string, work: Promise<T>): Promise<T> => {
    count = 0;
    const result = await world.clock.run(work);
    transactions[name] = count;
    return result;
  };
  const [id = ''] = await measure('create', deploy(world, core, 1));
  const resources = { cpumem: { 'memory-request': 2 ** 26, 'memory-limit': 2 ** 26, 'keep-cpu-bind': true } };
  const { context, membership } = core.core;
  await measure('realloc', reallocWorkload(context, membership.current(), { id, resources }, never));
  await measure('remove', remove(core, id));
  return { transactions, external: about };
}
