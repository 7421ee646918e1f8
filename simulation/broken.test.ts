import { replaceTables, rollTable, type Table } from '@eru/core';
import { expect, it } from 'vitest';

import { sweep } from './crash-sweep.ts';
import { beginsBeforeItsTurn, givesUpWhatWasBegun, removesBeforeItDecides } from './model/broken.ts';
import { scenarioOf } from './scenarios.ts';

const seed = 7;

/** The sweep notices, too, what the model finds when it is broken on purpose. */
it.each(['create', 'stop', 'roll'])(
  'a core wakes up and writes to a store that does not compare its tenure: %s',
  async (name) => {
    const broken = await sweep(scenarioOf(name), seed, 'sleep', { fence: false, every: 2 });
    expect(broken).toContainEqual(expect.stringMatching(/before store\.txn: 4: a core wrote without its lease/));
  },
);

const order: readonly { what: string; scenario: string; table: Table; rows: Table; found: RegExp }[] = [
  {
    what: 'a replace removes the old one before the decision is written',
    scenario: 'replace in place',
    table: replaceTables.inPlace,
    rows: removesBeforeItDecides,
    found: /0 of 0 objects run/,
  },
  {
    what: 'a roll begins a replace before its turn',
    scenario: 'roll whose first new one does not start',
    table: rollTable,
    rows: beginsBeforeItsTurn,
    found: /was replaced after one had failed/,
  },
  {
    what: 'a roll gives up at a takeover what was begun',
    scenario: 'roll',
    table: rollTable,
    rows: givesUpWhatWasBegun,
    found: /was given up: .*died/,
  },
];

it.each(order)('$what', async ({ scenario, table, rows, found }) => {
  const sound = { ...table };
  Object.assign(table, rows);
  try {
    // Undisturbed already, or only where a core dies.
    const broken = await sweep(scenarioOf(scenario), seed, 'crash').catch((error: unknown) => [String(error)]);
    expect(broken).toContainEqual(expect.stringMatching(found));
  } finally {
    Object.assign(table, sound);
  }
});
