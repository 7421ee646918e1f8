import type { Row, Table } from '@eru/core';
import { describe, expect, it } from 'vitest';

import { removesBeforeItDecides } from './broken.ts';
import { explore, told } from './explore.ts';
import { operationModel } from './operation-model.ts';
import { operations, type Modelled, type Rules } from './operations.ts';

describe('two cores, one node, one operation, in every order of events', () => {
  it.each(operations)('$name: keeps every invariant, and ends', (operation) => {
    const { states, atRest, violation } = explore(operationModel(operation));
    expect(violation && told(operation.name, violation)).toBeUndefined();
    expect(states).toBeGreaterThan(50);
    expect(atRest).toBeGreaterThan(10);
  });
});

/** The same tables with one thing broken; each is to be found, or the model would be blind for it. */
const broken: { what: string; operation: Modelled; rules?: Partial<Rules>; found: RegExp }[] = [
  ...['create', 'remove', 'dissociate', 'realloc to more', 'replace in place'].map((name) => ({
    what: `${name} without the fence`,
    operation: named(name),
    rules: { fence: false },
    found: /^4: .* without its lease/,
  })),
  {
    what: 'a restart on an engine that takes calls however old their right is',
    operation: named('restart'),
    rules: { rights: false },
    found: /^3: the result is ok, and the workload is not running/,
  },
  {
    what: 'an unforced removal on an engine that takes calls however old their right is',
    operation: named('remove what runs without force'),
    rules: { rights: false },
    found: /^3: the old workload is recorded, claimed by nobody, and lost/,
  },
  {
    what: 'a remove that frees before the object is gone',
    operation: changed('remove by force', {
      removing: { effect: 'none', ok: ['forget', 'gone'], takeover: 'repeat' },
      gone: { effect: 'remove', ok: ['mark', 'end'], takeover: 'repeat' },
    }),
    found: /^2: the old object has neither record/,
  },
  {
    what: 'a create that gives its booking back before it removes',
    operation: changed('create', { undoing: { effect: 'none', ok: ['forget', 'end'], takeover: 'repeat' } }),
    found: /^2: the new object has neither record/,
  },
  {
    what: 'a replace that removes the old one before the decision is written',
    operation: changed('replace in place', removesBeforeItDecides),
    found: /^3: .*the old workload .*lost/,
  },
  {
    what: 'a replace whose decision is not written at all',
    operation: changed('replace in place', {
      gating: { effect: 'removeOld', ok: ['swap', 'end'], refused: ['mark', 'undoing'], takeover: 'refuse' },
    }),
    found: /^3: .*the old workload .*lost/,
  },
  {
    what: 'a restart that starts first',
    operation: changed('restart, without hooks', {
      stopping: { effect: 'start', ok: ['mark', 'starting'], refused: ['mark', 'end'], takeover: 'repeat' },
      starting: { effect: 'stop', ok: ['mark', 'end'], refused: ['mark', 'end'], takeover: 'repeat' },
    }),
    found: /^3: the result is ok, and the workload is not running/,
  },
  {
    what: 'hooks that a takeover repeats',
    operation: changed('remove', { stopHooks: { ...row('remove', 'stopHooks'), takeover: 'repeat' } }),
    found: /^hooks: stopHooks ran 2 times/,
  },
  {
    what: 'a realloc that books only the new amounts',
    operation: {
      ...named('realloc to less'),
      writes: { ...named('realloc to less').writes, bookLarger: { record: 'new' } },
    },
    found: /^1: usage is 2, and 1 is booked/,
  },
  {
    what: 'a realloc that goes round in circles',
    operation: changed('realloc to more', {
      updating: { ...row('realloc to more', 'updating'), ok: ['mark', 'updating'], refused: ['mark', 'updating'] },
    }),
    found: /^5: /,
  },
];

describe('the model finds', () => {
  it.each(broken)('$what', ({ what, operation, rules, found }) => {
    const { violation } = explore(operationModel(operation, rules));
    expect(violation?.broken).toMatch(found);
    // For people: the shortest way to it.
    console.info(violation && told(what, violation));
  });
});

function named(name: string): Modelled {
  const operation = operations.find((one) => one.name === name);
  if (operation === undefined) throw new Error(`no operation ${name}`);
  return operation;
}

function changed(name: string, rows: Table): Modelled {
  const operation = named(name);
  return { ...operation, table: { ...operation.table, ...rows } };
}

function row(name: string, step: string): Row {
  return named(name).table[step] as Row;
}
