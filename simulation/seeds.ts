import { seededRandom } from '@eru/kit';

import { countPoints, disturbances, sweepOne } from './crash-sweep.ts';
import { externalScenarios } from './external-scenarios.ts';
import { pairOf, scenarios, type Scenario } from './scenarios.ts';
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
  if (roll < 0.3) {
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
  const disturbance = pick(disturbances);
  const first = pick(roll < 0.4 ? externalScenarios : scenarios);
  const second = roll < 0.5 ? undefined : pick(scenarios);
  const awaits = (await awaitsOf(first)) + (second === undefined ? 0 : await awaitsOf(second));
  const scenario = second === undefined ? first : pairOf(first, second);
  const index = dice.int(awaits);
  const broken = await sweepOne(scenario, seed, index, disturbance);
  return { what: `${scenario.name}, ${disturbance} at await ${index}`, broken };
}

/** About as many awaits has a scenario, whatever its seed. */
const counted = new Map<Scenario, Promise<number>>();

function awaitsOf(scenario: Scenario): Promise<number> {
  const known = counted.get(scenario) ?? countPoints(scenario, 1).then(({ length }) => length);
  counted.set(scenario, known);
  return known;
}
