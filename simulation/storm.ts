import { seededRandom, type Random } from '@eru/kit';
import {
  controlWorkload,
  createWorkloads,
  dissociateWorkload,
  reallocWorkload,
  removeWorkload,
  replaceWorkload,
  rollWorkloads,
} from '@eru/core';

import { replacement } from './scenarios.ts';
import { World, type LivingCore } from './world.ts';

/** A random life of a cluster: two cores, faults at any await, crashes, machines on which objects vanish. */
export interface Storm {
  seed: number;
  /** Client requests. */
  operations: number;
  /** Chance of an error, and of a crash, at each await. */
  errors: number;
  crashes: number;
  /** Chance, at each await, that the whole core stands still for a minute; default none. */
  sleeps?: number;
  /** Chance, before each request, that a core loses its way to the store for up to four lives of its lease; default none. */
  outages?: number;
}

export interface StormResult {
  seed: number;
  broken: string[];
  awaits: number;
  crashes: number;
  acknowledged: number;
}

/** Runs it on a virtual clock, waits until it is quiet, and answers every invariant that is broken. Same seed, same run. */
export async function runStorm({
  seed,
  operations,
  errors,
  crashes,
  sleeps = 0,
  outages = 0,
}: Storm): Promise<StormResult> {
  const world = await World.create({ seed });
  const dice = seededRandom(seed + 1);
  const cores: LivingCore[] = [];
  const result: StormResult = { seed, broken: [], awaits: 0, crashes: 0, acknowledged: 0 };
  const exists = new Set<string>();

  const start = async (): Promise<LivingCore> => {
    const living = await world.startCore();
    living.mortal.fate = () => {
      result.awaits += 1;
      const roll = dice.next();
      if (roll < crashes) return 'crash';
      if (roll < crashes + sleeps) return 'sleep';
      return roll < crashes + sleeps + errors ? 'error' : undefined;
    };
    living.mortal.count();
    return living;
  };
  const one = async (core: LivingCore): Promise<void> => {
    const { context, membership } = core.core;
    const known = [...exists];
    const id = known[dice.int(Math.max(1, known.length))];
    const roll = dice.next();
    if (id === undefined || roll < 0.4) {
      await create(world, core, dice, exists);
    } else if (roll < 0.55) {
      // From here on nobody may count on it.
      exists.delete(id);
      const how = { id, stop: dice.next() < 0.5, force: true, graceMs: null };
      await removeWorkload(context, membership.current(), how, never);
    } else if (roll < 0.6) {
      exists.delete(id);
      await dissociateWorkload(context, membership.current(), { id }, never);
    } else if (roll < 0.75) {
      const type = (['restart', 'stop', 'start', 'suspend', 'resume'] as const)[dice.int(5)] ?? 'restart';
      await controlWorkload(context, membership.current(), { id, type, force: false }, never);
    } else if (roll < 0.87) {
      const memory = (dice.int(5) - 2) * 64 * MiB;
      const resources = { cpumem: { 'memory-request': memory, 'memory-limit': memory, 'keep-cpu-bind': true } };
      await reallocWorkload(context, membership.current(), { id, resources }, never);
    } else if (roll < 0.9) {
      const olds = known.slice(0, 3).flatMap((one) => context.view.workloads.get(one)?.value ?? []);
      for (const old of olds) exists.delete(old.id);
      await rollWorkloads(
        context,
        membership.current(),
        { olds, window: 2, replace: replacement(world) },
        never,
        ({ id: old, made }) => exists.add(made?.id ?? old),
      );
    } else {
      // One of the two is there afterwards; which one is told only to who hears the answer.
      exists.delete(id);
      const { record } = await replaceWorkload(
        context,
        membership.current(),
        {
          ...replacement(world),
          id,
          sequence: 0,
          overlap: dice.next() < 0.5 ? world.request(1).resources : undefined,
        },
        never,
      );
      exists.add(record?.id ?? id);
    }
  };

  cores.push(await start(), await start());
  for (let round = 0; round < operations; round++) {
    const index = dice.int(cores.length);
    const core = cores[index] as LivingCore;
    if (outages > 0 && dice.next() < outages) {
      // Some begin before the request, some in the middle of it.
      world.clock.timer(dice.int(60), () => core.mortal.cut());
      world.clock.timer(60 + dice.int(40_000), () => core.mortal.heal());
    }
    const parallel = Array.from({ length: 1 + dice.int(3) }, () => one(core).catch(() => {})); // The client was told that it failed.
    await world.clock.run(Promise.race([Promise.all(parallel), core.mortal.death()]));
    if (core.mortal.dead) {
      result.crashes += 1;
      cores[index] = await start();
    }
    await world.clock.advance(dice.int(3000));
  }
  // "While one core lives, every operation ends": one that died in the background is no help.
  if (cores.every(({ mortal }) => mortal.dead)) cores.push(await start());
  for (const { mortal } of cores) {
    mortal.fate = () => undefined;
    mortal.heal();
  }
  await world.settle();
  result.acknowledged = exists.size;
  result.broken = [...world.violations, ...(await world.broken(exists))];
  return result;
}

const never = new AbortController().signal;
const MiB = 2 ** 20;

/** Deploys of all kinds: plain, bound to cores, under a key that is used again, that nobody waits for, that run once. */
async function create(world: World, core: LivingCore, dice: Random, exists: Set<string>): Promise<void> {
  const kind = dice.int(6);
  const once = kind === 3;
  const request = world.request(1 + dice.int(4), { app: `app${dice.int(3)}` });
  const bound = { cpumem: { 'cpu-request': 1, 'cpu-limit': 1, 'cpu-bind': true } };
  const events = createWorkloads(
    core.core.context,
    core.core.membership.current(),
    {
      ...request,
      ...(kind === 1 && { resources: bound }),
      ...(kind === 2 && { request: { key: `key${dice.int(1000)}`, digest: '' }, asynchronous: true }),
      ...(once && {
        template: { ...request.template, command: ['exit', '1'] },
        lambda: { deadlineMs: 0, follow: undefined },
      }),
    },
    never,
  );
  for await (const event of events)
    if (event.type === 'done' && event.error === undefined && !once) exists.add(event.id);
}
