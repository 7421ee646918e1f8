import { assert, EruError, isEruError } from '@eru/kit';

import { end, mark, type Row, type Table, type Target } from './transitions.ts';

/** What a table needs to be run: its effects and its transactions, by name. */
export interface Steps {
  table: Table;
  /** The step that is in the store, which this run goes on from. */
  step: string;
  /** The step was written by a core that is dead. */
  takenOver: boolean;
  /** What was refused before this run, by the core that is dead. */
  refusal?: EruError | undefined;
  /** Runs a row's effect. */
  effect(name: string): Promise<void>;
  /** False when an effect has nothing to do, so that its row costs no transaction. */
  needed(effect: string): boolean;
  /** The named transaction, which writes `next` too. `failure` is what was refused so far. */
  write(transaction: string, next: string, failure: EruError | undefined): Promise<void>;
  /** Told once, when a refusal is decided and written: what follows only cleans up. */
  refused?(failure: EruError): void;
}

/**
 * Runs a table from a step to its end. Answers the first refusal; throws what makes this core lose the operation (`fenced`,
 * a lost lease) or what a row without `refused` could not do, which leaves it for a takeover.
 */
export async function drive(steps: Steps, lost: () => boolean): Promise<EruError | undefined> {
  const { table } = steps;
  let { step } = steps;
  let { takenOver } = steps;
  let failure = steps.refusal;
  while (step !== end) {
    const row = rowOf(table, step);
    try {
      const opening = openingOf(row, takenOver);
      if (opening === 'run' && row.effect !== 'none') await steps.effect(row.effect);
      if (opening === 'refuse')
        throw new EruError('canceled', `the core that ran it died at step ${step}`, { details: { step } });
      const [transaction, next] = passOver(table, row.ok, (effect) => steps.needed(effect));
      await steps.write(transaction, next, failure);
      step = next;
    } catch (thrown) {
      const error = EruError.from(thrown);
      if (row.refused === undefined || lost() || isEruError(error, 'fenced')) throw error;
      const first = failure === undefined;
      failure ??= error;
      const [transaction, next] = passOver(table, row.refused, (effect) => steps.needed(effect));
      await steps.write(transaction, next, failure);
      if (first) steps.refused?.(failure);
      step = next;
    }
    takenOver = false;
  }
  return failure;
}

/** What a core begins a step with: its effect, nothing (it may not be done twice), or what follows a refusal. */
export function openingOf({ takeover }: Row, takenOver: boolean): 'run' | 'skip' | 'refuse' {
  return !takenOver || takeover === 'repeat' ? 'run' : takeover;
}

/** Where an operation begins: the first row that has something to do. */
export function beginning(table: Table, needed: (effect: string) => boolean): string {
  const [first] = Object.keys(table);
  assert(first !== undefined, 'a table has a first row');
  const [transaction, step] = passOver(table, [mark, first], needed);
  assert(transaction === mark && step !== end, 'a beginning needs no transaction of its own');
  return step;
}

/** Rows without anything to do are passed over; of the transactions on the way at most one is more than a mark. */
export function passOver(table: Table, [transaction, next]: Target, needed: (effect: string) => boolean): Target {
  let [name, step] = [transaction, next];
  while (step !== end) {
    const row = rowOf(table, step);
    if (row.effect === 'none' || needed(row.effect)) break;
    const [after, target] = row.ok;
    assert(name === mark || after === mark, `two transactions in one: ${name} and ${after}`);
    name = name === mark ? after : name;
    step = target;
  }
  return [name, step];
}

export function rowOf(table: Table, step: string): Row {
  const row = table[step];
  assert(row !== undefined, `no step ${step} in the table of this operation`);
  return row;
}

/** True for a step that runs commands of the user, which may not run twice. */
export function isHook(table: Table, step: string): boolean {
  return step !== end && /hooks$/i.test(rowOf(table, step).effect);
}
