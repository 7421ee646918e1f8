import { seededRandom } from '@eru/kit';
import { controlWorkload, removeWorkload } from '@eru/core';

import { World, type LivingCore } from './world.ts';

/** A random life of a cluster: two cores, faults at any await, crashes, machines on which objects vanish. */
export interface Storm {
  seed: number;
  /** Client requests. */
  operations: number;
  /** Chance of an error, and of a crash, at each await. */
  errors: number;
  crashes: number;
}

export interface StormResult {
  seed: number;
  broken: string[];
  awaits: number;
  crashes: number;
  acknowledged: number;
}

/** Runs it on a virtual clock, waits until it is quiet, and answers every invariant that is broken. Same seed, same run. */
export async function runStorm({ seed, operations, errors, crashes }: Storm): Promise<StormResult> {
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
      return roll < crashes + errors ? 'error' : undefined;
    };
    living.mortal.count();
    return living;
  };
  const one = async (core: LivingCore): Promise<void> => {
    const { context, membership } = core.core;
    const never = new AbortController().signal;
    const known = [...exists];
    const id = known[dice.int(Math.max(1, known.length))];
    const roll = dice.next();
    if (id === undefined || roll < 0.5) {
      for await (const event of world.deploy(core, 1 + dice.int(4), { app: `app${dice.int(3)}` })) {
        if (event.type === 'done' && event.error === undefined) exists.add(event.id);
      }
    } else if (roll < 0.75) {
      // From here on nobody may count on it.
      exists.delete(id);
      await removeWorkload(
        context,
        membership.current(),
        { id, stop: dice.next() < 0.5, force: true, graceMs: null },
        never,
      );
    } else {
      await controlWorkload(
        context,
        membership.current(),
        { id, type: dice.next() < 0.5 ? 'restart' : 'stop', force: false },
        never,
      );
    }
  };

  cores.push(await start(), await start());
  for (let round = 0; round < operations; round++) {
    const index = dice.int(cores.length);
    const core = cores[index] as LivingCore;
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
  for (const { mortal } of cores) mortal.fate = () => undefined;
  await world.settle();
  result.acknowledged = exists.size;
  result.broken = await world.broken(exists);
  return result;
}
