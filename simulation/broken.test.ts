import { replaceTables } from '@eru/core';
import { expect, it } from 'vitest';

import { countPoints, scenarios, sweepOne, type Disturbance, type Scenario } from './crash-sweep.ts';
import { removesBeforeItDecides } from './model/broken.ts';

const seed = 7;

/** The sweep notices, too, what the model finds when it is broken on purpose. */
async function sweep(name: string, disturbance: Disturbance, options: { fence?: boolean } = {}): Promise<string[]> {
  const scenario = scenarios.find((one) => one.name === name) as Scenario;
  const points = await countPoints(scenario, seed);
  const broken: string[] = [];
  for (const [index, { call, phase }] of points.entries()) {
    for (const sentence of await sweepOne(scenario, seed, index, disturbance, options))
      broken.push(`${disturbance} at ${index}, ${phase} ${call}: ${sentence}`);
  }
  return broken;
}

it.each(['create', 'stop'])(
  'a core wakes up and writes to a store that does not compare its tenure: %s',
  async (name) => {
    const broken = await sweep(name, 'sleep', { fence: false });
    expect(broken).toContainEqual(expect.stringMatching(/before store\.txn: 4: a core wrote without its lease/));
  },
);

it('a replace removes the old one before the decision is written', async () => {
  const sound = { ...replaceTables.inPlace };
  Object.assign(replaceTables.inPlace, removesBeforeItDecides);
  try {
    const broken = await sweep('replace in place', 'crash');
    expect(broken).toContainEqual(expect.stringMatching(/0 of 0 objects run/));
  } finally {
    Object.assign(replaceTables.inPlace, sound);
  }
});
