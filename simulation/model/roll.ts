import { end, replaceTables, rollTable } from '@eru/core';

import type { Model } from './explore.ts';
import { rollMoves } from './roll-moves.ts';
import type { Rolled, RollRules } from './roll-rules.ts';
import { exchangedRoll, keysOfRoll, rollRests, withRollCore, type Item, type RollState } from './roll-state.ts';

const inPlace = { table: rollTable, replace: replaceTables.inPlace };
const overlap = { table: rollTable, replace: replaceTables.overlap };

export const rolls: readonly Rolled[] = [
  { ...inPlace, name: 'in place, one of two at a time', items: 2, window: 1, troubles: 2 },
  { ...overlap, name: 'with overlap, one of two at a time', items: 2, window: 1, troubles: 2 },
  { ...inPlace, name: 'in place with files', items: 2, window: 1, troubles: 2, files: true },
  { ...overlap, name: 'with overlap, two at once', items: 2, window: 2, troubles: 1 },
  { ...overlap, name: 'with overlap, two of three at once', items: 3, window: 2, troubles: 0 },
];

export function rollModel(roll: Rolled, changed: Partial<RollRules> = {}): Model<RollState> {
  const rules = { fence: true, window: true, ...changed };
  return {
    initial: initial(roll),
    moves: (state) => rollMoves(state, roll, rules),
    broken: (state) => brokenIn(state, roll),
    brokenAtRest: (state) => brokenAtRest(state),
    isAtRest: rollRests,
    keysOf: keysOfRoll,
    exchanged: exchangedRoll,
    waits: true,
    isUp: ({ cores }, id) => cores[id].up,
    withOnly: (state, id) =>
      withRollCore(state, id === 0 ? 1 : 0, { roll: null, replaces: state.items.map(() => null) }),
  };
}

function initial({ table, items, troubles }: Rolled): RollState {
  const [step = end] = Object.keys(table);
  const core = { up: true, roll: null, replaces: Array.from({ length: items }, () => null) };
  const item: Item = { step, outcome: null, request: 'none', replace: null, old: 'running', made: 'none' };
  return {
    cores: [core, core],
    leases: [true, true],
    begun: false,
    roll: null,
    items: Array.from({ length: items }, () => item),
    refused: false,
    begunTooLate: 0,
    troubles,
  };
}

/** What every state shows, as sentences about what is broken; the numbers are those of docs/protocol.md. */
function brokenIn({ items, refused, begunTooLate }: RollState, { window, replace, files }: Rolled): string[] {
  const broken: string[] = [];
  const serves = ({ old, made }: Item): boolean => old === 'running' || made === 'healthy';
  const under = items.filter((item) => item.replace !== null).length;
  const away = items.filter((item) => !serves(item)).length;
  if (under > window) broken.push(`window: ${under} replaces are under way`);
  if (away > (replace === replaceTables.overlap ? 0 : window)) broken.push(`window: ${away} do not serve`);
  if (items.some(({ old, made }) => old === 'gone' && made !== 'healthy'))
    broken.push('gate: an old one is gone, and its new one has not been found healthy');
  if (begunTooLate >= window) broken.push(`${begunTooLate} replaces were begun after one had failed`);
  if (items.some(({ replace: one, request }) => (one === null) !== (request !== 'begun')))
    broken.push('3: a replace and its key do not belong together');
  if (!refused && files !== true && items.some(({ outcome }) => outcome !== null && outcome !== 'ok'))
    broken.push('5: an item was given up because a core died');
  return broken;
}

function brokenAtRest({ items }: RollState): string[] {
  return items.flatMap(({ outcome, request, old, made }, index) => {
    const broken: string[] = [];
    if (outcome === null) return broken;
    if (request !== 'none') broken.push(`6: the key of item ${index} is left`);
    const there = `there are ${old} and ${made}`;
    if (outcome === 'ok' ? old !== 'gone' || made !== 'healthy' : old !== 'running' || made !== 'none')
      broken.push(`3: the result of item ${index} is ${outcome}, and ${there}`);
    return broken;
  });
}
