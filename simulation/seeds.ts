import { seededRandom } from '@eru/kit';

import { countPoints, disturbances, sweepOne } from './crash-sweep.ts';
import { externalScenarios } from './external-scenarios.ts';
import { pairOf, scenarios } from './scenarios.ts';
import { runStorm } from './storm.ts';

export interface SeedResult {
  /** For people: what the seed stands for. */
  what: string;
  broken: string[];
}

/**
 * What one seed stands for, everything drawn from it: a life of a cluster under faults, or one operation, or two at once on the
 * same workload, disturbed at one await. Same seed, same run.
 */
export async function runSeed(seed: number): Promise<SeedResult> {
  const dice = seededRandom(seed);
  const pick = <T>(all: readonly T[]): T => all[dice.int(all.length)] as T;
  const roll = dice.next();
  if (roll < 0.4) {
    const storm = {
      seed,
      operations: 4 + dice.int(12),
      errors: pick([0, 0.01, 0.03, 0.1]),
      crashes: pick([0, 0.003, 0.01]),
      sleeps: pick([0, 0, 0.002, 0.01]),
      outages: pick([0, 0.1, 0.4]),
    };
    const { broken } = await runStorm(storm);
    return { what: `a storm, ${JSON.stringify(storm)}`, broken };
  }
  const scenario =
    roll < 0.5 ? pick(externalScenarios) : roll < 0.6 ? pick(scenarios) : pairOf(pick(scenarios), pick(scenarios));
  const disturbance = pick(disturbances);
  const points = await countPoints(scenario, seed);
  const index = dice.int(points.length);
  const { call, phase } = points[index] ?? { call: 'nothing', phase: 'before' };
  return {
    what: `${scenario.name}, ${disturbance} at ${index}, ${phase} ${call}`,
    broken: await sweepOne(scenario, seed, index, disturbance),
  };
}
