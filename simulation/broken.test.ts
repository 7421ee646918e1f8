import { replaceTables } from '@eru/core';
import { expect, it } from 'vitest';

import { sweep } from './crash-sweep.ts';
import { removesBeforeItDecides } from './model/broken.ts';
import { scenarioOf } from './scenarios.ts';

const seed = 7;

/** The sweep notices, too, what the model finds when it is broken on purpose. */
it.each(['create', 'stop'])(
  'a core wakes up and writes to a store that does not compare its tenure: %s',
  async (name) => {
    const broken = await sweep(scenarioOf(name), seed, 'sleep', { fence: false, every: 2 });
    expect(broken).toContainEqual(expect.stringMatching(/before store\.txn: 4: a core wrote without its lease/));
  },
);

it('a replace removes the old one before the decision is written', async () => {
  const sound = { ...replaceTables.inPlace };
  Object.assign(replaceTables.inPlace, removesBeforeItDecides);
  try {
    const broken = await sweep(scenarioOf('replace in place'), seed, 'crash');
    expect(broken).toContainEqual(expect.stringMatching(/0 of 0 objects run/));
  } finally {
    Object.assign(replaceTables.inPlace, sound);
  }
});
