import { describe, expect, test } from 'vitest';

import { controlMachine } from './control.ts';
import { dissociateMachine } from './dissociate.ts';
import { reallocMachine } from './realloc.ts';
import type { ControlOperation, CreateOperation, ReplaceOperation, Slot } from '../state/records.ts';
import { removeMachine } from './remove.ts';
import { replaceMachine } from './replace.ts';
import { takeoverText } from './tables-of.ts';
import * as transitions from './transitions.ts';
import { end, mark, type Table } from './transitions.ts';

interface Names {
  effects: Readonly<Record<string, unknown>>;
  transactions: Readonly<Record<string, unknown>>;
}

const { removeTables, controlTables, replaceTables } = transitions;
const claimed: [string, Table, Names][] = [
  ...Object.entries(removeTables).map(([name, table]): [string, Table, Names] => [
    `remove ${name}`,
    table,
    removeMachine,
  ]),
  ...Object.entries(controlTables).map(([name, table]): [string, Table, Names] => [name, table, controlMachine]),
  ['dissociate', transitions.dissociateTable, dissociateMachine],
  ['realloc', transitions.reallocTable, reallocMachine],
  ...Object.entries(replaceTables).map(([name, table]): [string, Table, Names] => [
    `replace ${name}`,
    table,
    replaceMachine(undefined),
  ]),
];
const slots = Object.entries(transitions.slotTables).map(([name, table]): [string, Table] => [
  `slot of ${name}`,
  table,
]);

const tables = [...claimed.map(([name, table]): [string, Table] => [name, table]), ...slots];

describe.each(tables)('the table of %s', (_name, table) => {
  test('leads from its first step to every other, and from each to the end', () => {
    const [first = ''] = Object.keys(table);
    const reached = new Set<string>();
    const visit = (step: string): void => {
      if (step === end || reached.has(step)) return;
      reached.add(step);
      const row = table[step];
      expect(row, `${step} has no row`).toBeDefined();
      for (const target of [row?.ok, row?.refused]) if (target !== undefined) visit(target[1]);
    };
    visit(first);
    expect([...reached].toSorted()).toEqual(Object.keys(table).toSorted());
    for (const start of Object.keys(table)) {
      let [step, steps] = [start, 0];
      while (step !== end && steps++ < 20) step = table[step]?.ok[1] ?? end;
      expect(step, `${start} goes round in circles`).toBe(end);
    }
  });

  test('can give up only where a refusal leads somewhere, and never repeats hooks', () => {
    for (const [step, { takeover, refused, effect }] of Object.entries(table)) {
      if (takeover === 'refuse') expect(refused, step).toBeDefined();
      if (/hooks$/i.test(effect)) expect(takeover, step).not.toBe('repeat');
    }
  });
});

test.each(claimed)('the names in the table of %s mean something', (_name, table, { effects, transactions }) => {
  for (const { effect, ok, refused } of Object.values(table)) {
    if (effect !== 'none') expect(effects).toHaveProperty(effect);
    for (const target of [ok, refused])
      if (target !== undefined && target[0] !== mark) expect(transactions).toHaveProperty(target[0]);
  }
});

test.each(claimed)('the writes of %s are declared', (_name, table, { transactions }) => {
  const declared = Object.keys(transitions.workloadWrites);
  expect(declared).toEqual(expect.arrayContaining(Object.keys(transactions)));
  for (const { ok, refused } of Object.values(table))
    for (const target of [ok, refused]) if (target !== undefined) expect(declared).toContain(target[0]);
});

describe('a takeover says', () => {
  const base = { v: 1 as const, id: 'op', owner: { core: 'c', epoch: 1 }, createdAtMs: 0, key: '' };
  const workload = { ...base, workload: 'w', name: 'a_b_c', node: 'n' };

  test('which hooks may have run, and which have', () => {
    const restart: ControlOperation = {
      ...workload,
      kind: 'control',
      type: 'restart',
      force: false,
      step: 'startHooks',
      hooks: ['stopHooks', 'startHooks'],
    };
    expect(takeoverText(restart, [])).toBe(
      'startHooks: hooks may have run and are not run again, went on to end; ran before: stopHooks',
    );
    expect(takeoverText({ ...restart, step: 'stopping', hooks: ['stopHooks'] }, [])).toBe(
      'stopping: repeated; ran before: stopHooks',
    );
  });

  test('that a replacement comes back, or that its old one goes', () => {
    const replace: ReplaceOperation = {
      ...workload,
      kind: 'replace',
      overlap: false,
      wasRunning: true,
      ignoreHook: false,
      gateMs: 0,
      step: 'starting',
    };
    expect(takeoverText(replace, [])).toBe('starting: given up, went on to undoing');
    expect(takeoverText({ ...replace, step: 'committed' }, [])).toBe('committed: repeated');
  });

  test('how many instances it undoes or finishes', () => {
    const create: CreateOperation = {
      ...base,
      kind: 'create',
      state: 'running',
      app: 'a',
      entrypoint: 'b',
      pod: 'p',
      strategy: 'AUTO',
      count: 3,
    };
    const slot: Slot = {
      name: '',
      sequence: 0,
      step: 'reserved',
      id: '',
      recorded: false,
      resources: {},
      engineParams: {},
    };
    expect(takeoverText(create, [slot, slot, { ...slot, step: 'hooking' }])).toBe(
      '2 × reserved: given up, went on to undoing; 1 × hooking: given up (hooks may have run and are not run again), went on to undoing',
    );
    expect(takeoverText({ ...create, kind: 'lambda' }, [{ ...slot, step: 'waiting' }])).toBe('1 × waiting: repeated');
  });
});
