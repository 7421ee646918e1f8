import {
  controlTables,
  dissociateTable,
  reallocTable,
  removeTables,
  replaceTables,
  slotTables,
  slotWrites,
  workloadWrites,
  type Table,
  type Writes,
} from '@eru/core';

import { claimedEffects, replaceEffects, slotEffects, type Meanings } from './engine.ts';
import type { EngineObject, State, Subject } from './state.ts';

/** One operation for the model: the code's table and transactions, and what is to be true once it has ended. */
export interface Modelled {
  name: string;
  table: Table;
  writes: Readonly<Record<string, Writes>>;
  effects: Meanings;
  /** A claimed workload, or a slot of its own that is booked when it begins. */
  on: 'workload' | 'slot';
  /** What the two workloads have; for a realloc, before and after. */
  amounts: Readonly<Record<Subject, number>>;
  /** Of the workload that is there before. */
  before: EngineObject['state'];
  hooks: boolean;
  /** Once it has ended another operation may stop the workload, while a call of this one is still late. */
  stoppedLater?: true;
  /** At rest, by the result that the store keeps for the client: what is missing, as a sentence. */
  goal(state: State, result: 'ok' | 'refused'): string | undefined;
}

/** The protocol itself, where it can be broken on purpose. */
export interface Rules {
  /** Transactions compare the writer's tenure. */
  fence: boolean;
  /** The engine compares the rights of its calls. */
  rights: boolean;
}

export const protocol: Rules = { fence: true, rights: true };

const only = (state: State, wanted: Subject, running: boolean): string | undefined => {
  const other = wanted === 'old' ? 'new' : 'old';
  if (state.store.records[wanted] === 0 || state.objects[wanted] === null) return `the ${wanted} workload is lost`;
  if (state.store.records[other] !== 0) return `the ${other} workload is still recorded`;
  return running && state.objects[wanted].state !== 'running' ? `the ${wanted} workload does not run` : undefined;
};

const none = (state: State): string | undefined =>
  state.store.records.old !== 0 || state.store.records.new !== 0 ? 'a workload is left' : undefined;

const inState =
  (wanted: EngineObject['state']): Modelled['goal'] =>
  (state, result) =>
    only(state, 'old', false) ??
    (result === 'ok' && state.objects.old?.state !== wanted ? `the workload is not ${wanted}` : undefined);

const onWorkload = {
  writes: workloadWrites,
  effects: claimedEffects,
  on: 'workload',
  amounts: { old: 1, new: 1 },
  before: 'running',
  hooks: true,
} as const;

const removed: Modelled['goal'] = (state, result) => (result === 'ok' ? none(state) : only(state, 'old', false));

const resized = (amounts: Modelled['amounts']): Pick<Modelled, 'amounts' | 'goal'> => ({
  amounts,
  goal: (state, result) =>
    only(state, 'old', true) ??
    (state.store.records.old === amounts[result === 'ok' ? 'new' : 'old']
      ? undefined
      : 'the record has the wrong amount'),
});

const replaced: Modelled['goal'] = (state, result) => only(state, result === 'ok' ? 'new' : 'old', result === 'ok');

const slot = { ...onWorkload, writes: slotWrites, effects: slotEffects, on: 'slot' } as const;

const created: Modelled['goal'] = (state, result) => (result === 'ok' ? only(state, 'new', true) : none(state));

const withHooks: readonly Modelled[] = [
  { ...slot, name: 'create', table: slotTables.create, goal: created },
  { ...slot, name: 'create that nobody waits for', table: slotTables.asynchronous, goal: created },
  { ...slot, name: 'lambda', table: slotTables.lambda, goal: none },
  { ...onWorkload, name: 'remove', table: removeTables.full, goal: removed },
  { ...onWorkload, name: 'remove by force', table: removeTables.forced, goal: removed },
  { ...onWorkload, name: 'remove without force', table: removeTables.unforced, before: 'stopped', goal: removed },
  {
    ...onWorkload,
    name: 'remove what runs without force',
    table: removeTables.unforced,
    stoppedLater: true,
    goal: removed,
  },
  {
    ...onWorkload,
    name: 'dissociate',
    table: dissociateTable,
    goal: (state, result) => {
      if (result === 'refused') return only(state, 'old', true);
      return state.store.released && state.objects.old?.state === 'running' ? none(state) : 'what was released is gone';
    },
  },
  { ...onWorkload, name: 'realloc to more', table: reallocTable, ...resized({ old: 1, new: 2 }) },
  { ...onWorkload, name: 'realloc to less', table: reallocTable, ...resized({ old: 2, new: 1 }) },
  { ...onWorkload, name: 'start', table: controlTables.start, before: 'stopped', goal: inState('running') },
  { ...onWorkload, name: 'stop', table: controlTables.stop, goal: inState('stopped') },
  { ...onWorkload, name: 'restart', table: controlTables.restart, goal: inState('running') },
  { ...onWorkload, name: 'suspend', table: controlTables.suspend, goal: inState('suspended') },
  { ...onWorkload, name: 'resume', table: controlTables.resume, before: 'suspended', goal: inState('running') },
  { ...onWorkload, name: 'limits', table: controlTables.limits, goal: inState('running') },
  { ...onWorkload, name: 'replace in place', table: replaceTables.inPlace, effects: replaceEffects, goal: replaced },
  {
    ...onWorkload,
    name: 'replace with overlap',
    table: replaceTables.overlap,
    effects: replaceEffects,
    amounts: { old: 2, new: 1 },
    goal: replaced,
  },
];

/** Each with the hooks that its table has, and without. */
export const operations: readonly Modelled[] = withHooks.flatMap((operation) =>
  Object.values(operation.table).some(({ effect }) => /hooks$/i.test(effect))
    ? [operation, { ...operation, name: `${operation.name}, without hooks`, hooks: false }]
    : [operation],
);
