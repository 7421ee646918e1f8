import type { Table } from '@eru/core';
import { describe, expect, it } from 'vitest';

import { beginsBeforeItsTurn, givesUpWhatWasBegun } from './broken.ts';
import { explore, told } from './explore.ts';
import type { Rolled, RollRules } from './roll-rules.ts';
import { rollModel, rolls } from './roll.ts';

describe('a roll by two cores, in every order of events', () => {
  it.each(rolls)('$name: keeps window, gate and results, and ends', (roll) => {
    const { states, atRest, violation } = explore(rollModel(roll));
    expect(violation && told(roll.name, violation)).toBeUndefined();
    expect(states).toBeGreaterThan(500);
    expect(atRest).toBeGreaterThan(10);
  });
});

const [inPlace, overlap, , both] = rolls as readonly [Rolled, Rolled, Rolled, Rolled];
const withRows = (roll: Rolled, rows: Table): Rolled => ({ ...roll, table: { ...roll.table, ...rows } });
const replacing = (roll: Rolled, rows: Table): Rolled => ({ ...roll, replace: { ...roll.replace, ...rows } });

/** The same with one thing broken. */
const broken: { what: string; roll: Rolled; rules?: Partial<RollRules>; found: RegExp }[] = [
  { what: 'a roll without the fence', roll: inPlace, rules: { fence: false }, found: /^4: .* without its lease/ },
  {
    what: 'a roll that begins them all at once',
    roll: overlap,
    rules: { window: false },
    found: /^window: 2 replaces are under way/,
  },
  {
    what: 'a replace that is begun before its turn',
    roll: withRows(inPlace, beginsBeforeItsTurn),
    found: /^1 replaces were begun after one had failed/,
  },
  {
    what: 'a takeover that gives up what was begun',
    roll: withRows(overlap, givesUpWhatWasBegun),
    found: /^5: an item was given up/,
  },
  {
    what: 'an item that is over when its turn has come',
    roll: withRows(both, {
      waiting: { effect: 'none', ok: ['take', 'end'], refused: ['mark', 'end'], takeover: 'repeat' },
    }),
    found: /^3: the result of item \d is ok, and there are running and none/,
  },
  {
    what: 'a roll that goes round in circles',
    roll: withRows(overlap, {
      replacing: { effect: 'replace', ok: ['mark', 'waiting'], refused: ['mark', 'end'], takeover: 'repeat' },
    }),
    found: /^5: a core lives and can never bring this to its end/,
  },
  {
    what: 'a replace that does not look whether its new one is healthy',
    roll: replacing(overlap, {
      gating: { effect: 'none', ok: ['mark', 'committed'], refused: ['mark', 'undoing'], takeover: 'repeat' },
    }),
    found: /^window: 1 do not serve|^gate: /,
  },
];

describe('the model finds', () => {
  it.each(broken)('$what', ({ what, roll, rules, found }) => {
    const { violation } = explore(rollModel(roll, rules));
    expect(violation?.broken).toMatch(found);
    console.info(violation && told(what, violation));
  });
});
