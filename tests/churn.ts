import { setTimeout as sleep } from 'node:timers/promises';

import type { Random } from '@eru/kit';

import type { EruApart } from './apart.ts';
import { Load, type Answered } from './load.ts';
import { settle, whatIsBroken } from './rest.ts';

/** Requests at the same time. */
const clients = 3;
/** A core lives until so many requests were answered, and a moment longer, so that it dies in the middle of others. */
const answersPerLife = { least: 1, most: 4 };
/** One in so many dies while it starts. */
const startKills = 6;

/** Requests that were answered well. */
export function workDone({ failed: _failed, ...answered }: Answered): number {
  return Object.values(answered).reduce((sum, count) => sum + count, 0);
}

/**
 * Clients work without pause while core is killed again and again at random moments, also in the middle of its start. Answers
 * what they were told, and everything that does not hold when it is quiet again.
 */
export async function churn(
  apart: EruApart,
  { kills, random }: { kills: number; random: Random },
): Promise<{ kills: number; answered: Answered; broken: string[] }> {
  let core = await apart.connect();
  const load = new Load(() => core, random);
  const { least, most } = answersPerLife;
  let startMs = 300;
  const over = new AbortController();
  const working = Array.from({ length: clients }, () => load.run(over.signal));
  let killed = 0;
  while (killed < kills) {
    await load.answers(least + random.int(most - least + 1));
    await sleep(random.next() * startMs);
    await apart.kill('core');
    killed += 1;
    core.close();
    if (random.int(startKills) === 0 && killed < kills) {
      apart.spawn('core');
      await sleep(random.next() * startMs);
      await apart.kill('core');
      killed += 1;
    }
    const begun = performance.now();
    core = await apart.core();
    startMs = performance.now() - begun;
  }
  over.abort();
  await Promise.all(working);
  const engine = apart.engine();
  const broken = [...(await settle(core, [engine])), ...(await whatIsBroken(core, [engine], load))];
  await engine.close();
  core.close();
  return { kills: killed, answered: load.answered, broken };
}
