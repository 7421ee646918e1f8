import { end, openingOf, passOver, rowOf, type Target } from '@eru/core';

import { apply, type Meaning } from './engine.ts';
import type { Move as Step } from './explore.ts';
import type { Modelled, Rules } from './operations.ts';
import {
  canonical,
  nextRevision,
  type Core,
  type CoreId,
  type EngineObject,
  type Run,
  type State,
  type StoreState,
} from './state.ts';

type Move = Step<State>;

/** Late calls at the same time. */
const lateCalls = 1;

export function initial(operation: Modelled): State {
  const { amounts, before, on } = operation;
  const exists = on === 'workload';
  return {
    cores: [
      { up: true, run: null },
      { up: true, run: null },
    ],
    store: {
      begun: false,
      leases: [true, true],
      operation: null,
      slot: null,
      records: { old: exists ? amounts.old : 0, new: 0 },
      claims: { old: false, new: false },
      released: false,
      held: -1,
      usage: exists ? amounts.old : 0,
      result: null,
    },
    objects: { old: exists ? { state: before, amount: amounts.old, right: 0, orphan: false } : null, new: null },
    hooks: {},
    late: [],
  };
}

/** Everything that can happen in a state. */
export function moves(state: State, operation: Modelled, rules: Rules): Move[] {
  return [
    ...coreMoves(state, 0, operation, rules),
    ...coreMoves(state, 1, operation, rules),
    ...lateMoves(state, operation, rules),
    ...laterMoves(state, operation),
  ];
}

function coreMoves(state: State, id: CoreId, operation: Modelled, rules: Rules): Move[] {
  const { up, run } = state.cores[id];
  const lease = state.store.leases[id];
  const found: Move[] = [];
  const move = (text: string, next: State, more: Partial<Move> = {}): void => {
    found.push({ text: `core ${id} ${text}`, by: id, fault: false, next: canonical(next), ...more });
  };
  if (lease) {
    // Without work it has nothing to be late with: it joins anew at once.
    const over = withoutTenure(state, id);
    const next = up && run === null ? over : withLease(up ? state : over, id, false);
    found.push({ text: `core ${id}'s lease ends`, by: 'lease', core: id, fault: up, next });
  }
  if (!up) {
    if (!lease) move('starts anew', withLease(withCore(state, id, { up: true, run: null }), id, true));
    return found;
  }
  for (const [sent, dropped] of abandoned(state, id, operation)) {
    const next = withCore(dropped, id, { up: false, run: null });
    move(`dies${sent}`, lease ? next : withoutTenure(next, id), { fault: true });
    if (!lease) {
      const rejoined = withoutTenure(withCore(dropped, id, { up: true, run: null }), id);
      move(`sees that its lease is gone, drops its work${sent} and joins anew`, withLease(rejoined, id, true));
    }
  }
  if (run === null) idleMoves(state, id, operation, rules, move);
  else if (run.phase === 'effect') effectMoves(state, id, run, operation, rules, move);
  else writeMoves(state, id, run, operation, rules, move);
  return found;
}

type Add = (text: string, next: State, more?: Partial<Move>) => void;

/** Begin, take over, reconcile. */
function idleMoves(state: State, id: CoreId, operation: Modelled, rules: Rules, move: Add): void {
  const { store, objects } = state;
  if (!store.leases[id] && rules.fence) return;
  const revision = nextRevision(state);
  if (!store.begun) {
    const step = firstStep(operation);
    const workload = operation.on === 'workload';
    const begun: StoreState = {
      ...store,
      begun: true,
      operation: { owner: id, step, refused: false, header: revision, own: revision },
      ...(workload
        ? { claims: { ...store.claims, old: true } }
        : { slot: 'booked', usage: store.usage + operation.amounts.new }),
    };
    move(
      `begins at ${step}`,
      enter({ ...state, store: begun }, id, operation, { step, takenOver: false, failed: false }),
    );
  }
  const { operation: header } = store;
  if (header !== null) {
    const { owner } = header;
    if (owner !== undefined && owner !== id && store.leases[owner]) return;
    const own = operation.on === 'workload' ? revision : header.own;
    const taken: State = { ...state, store: { ...store, operation: { ...header, owner: id, header: revision, own } } };
    move(
      `takes the operation over at ${header.step}`,
      enter(taken, id, operation, { step: header.step, takenOver: true, failed: header.refused }),
    );
  } else if (store.begun) {
    for (const subject of ['old', 'new'] as const) {
      const object = objects[subject];
      if (object === null) continue;
      const recorded = store.records[subject];
      if (recorded === 0 && !(subject === 'old' && store.released))
        move(`removes the orphan ${subject}`, { ...state, objects: { ...objects, [subject]: null } });
      if (recorded !== 0 && object.amount !== recorded)
        move(`repairs the limits of ${subject}`, {
          ...state,
          objects: { ...objects, [subject]: { ...object, amount: recorded, right: revision } },
        });
    }
  }
}

function effectMoves(state: State, id: CoreId, run: Run, operation: Modelled, rules: Rules, move: Add): void {
  const row = rowOf(operation.table, run.step);
  const { effect } = row;
  const meaning = meaningOf(operation, effect);
  const set = (from: State, next: Run | null): State => withCore(from, id, { up: true, run: next });
  const written = (refused: boolean): Run => ({ ...run, phase: 'write', refused, failed: run.failed || refused });
  const fail = (text: string, from: State): void => {
    const more = { fault: true };
    if (row.refused !== undefined && meaning.certain !== true) return move(text, set(from, written(true)), more);
    if (meaning.forgives === true) return move(text, set(from, written(false)), more);
    move(`${text}, and is to try again`, from, more);
    move(`${text}, and it drops the operation`, set(from, null), more);
    if (meaning.insists === true) move(`${text}, and it gives up`, set(from, written(false)), more);
  };
  const applied = apply(state, effect, meaning, { right: run.right, by: id }, operation.amounts, !rules.rights);
  if (applied.answer === 'ok') {
    move(`has done ${effect}`, set(applied.state, written(false)));
    fail(`has done ${effect}, the reply is lost`, applied.state);
  } else if (applied.answer === 'fenced') {
    move(`is too late with ${effect}`, set(state, null));
  } else if (row.refused !== undefined) {
    move(`is refused ${effect}`, set(state, written(true)));
  } else if (meaning.insists === true) {
    move(`is refused ${effect}, and gives up`, set(state, written(false)));
  } else if (row.takeover === 'skip') {
    move(`cannot do ${effect} any more`, set(state, null));
  }
  fail(`fails at ${effect}`, state);
  if (isLate(state, meaning))
    fail(`waits too long for ${effect}`, { ...state, late: [...state.late, { effect, right: run.right }] });
}

function writeMoves(state: State, id: CoreId, run: Run, operation: Modelled, rules: Rules, move: Add): void {
  const row = rowOf(operation.table, run.step);
  const { store } = state;
  const dropped = withCore(state, id, { up: true, run: null });
  if (!store.leases[id] && rules.fence) {
    move('is fenced off, drops the operation and joins anew', withLease(withoutTenure(dropped, id), id, true));
    return;
  }
  const target = following(operation, row, run);
  const { operation: header } = store;
  if (header === null || header.own !== run.own || (target[1] === end && header.header !== run.header)) {
    move('finds the operation changed, and drops it', dropped);
    return;
  }
  if (row.effect === 'none' && !run.refused && row.refused !== undefined)
    move(
      `finds no room at ${run.step}`,
      withCore(state, id, { up: true, run: { ...run, refused: true, failed: true } }),
      {
        fault: true,
      },
    );
  const violation = !store.leases[id]
    ? `4: core ${id} wrote ${target[0]} without its lease`
    : header.owner === id
      ? undefined
      : `4: core ${id} wrote ${target[0]} to an operation of core ${header.owner ?? 'nobody'}`;
  const owned = violation === undefined ? {} : { violation };
  if (operation.writes[target[0]]?.newClaim === 'first' && !store.claims.new) {
    move('claims what it has made', { ...state, store: { ...store, claims: { ...store.claims, new: true } } }, owned);
    return;
  }
  const next = commit(state, operation, run, target);
  // When the reply is lost it sends the same again until it knows (commit.ts): a slower core, like any other.
  move(`writes ${target[0]} → ${target[1]}`, advance(next, id, operation, run, target), owned);
}

/** The transaction that follows a step, as `drive` chooses it. */
function following(operation: Modelled, row: ReturnType<typeof rowOf>, run: Run): Target {
  const target = run.refused ? row.refused : row.ok;
  if (target === undefined) throw new Error(`${run.step} cannot be refused`);
  return passOver(operation.table, target, (effect) => needed(operation, effect));
}

function commit(state: State, operation: Modelled, run: Run, [transaction, step]: Target): State {
  const { store } = state;
  const writes = operation.writes[transaction];
  if (writes === undefined || store.operation === null) throw new Error(`no transaction ${transaction}`);
  const { old, new: made } = operation.amounts;
  const slotAmount = store.slot === null && writes.slot !== 'put' ? 0 : made;
  const amounts = {
    record: store.records.old,
    held: store.held < 0 ? store.records.old : store.held,
    slot: slotAmount,
    larger: Math.max(old, made),
  };
  const { minus, plus } = writes.usage ?? {};
  const ended = step === end;
  const revision = nextRevision(state);
  const workload = operation.on === 'workload';
  const held = { larger: amounts.larger, nothing: 0, record: -1 };
  const recordOf = { new: made, old, delete: 0 };
  const lambda = ended && !workload && transaction === 'forget' && operation.table['waiting'] !== undefined;
  const failed = workload ? run.failed : transaction === 'forget' && !lambda;
  return {
    ...state,
    store: {
      ...store,
      usage: store.usage - (minus === undefined ? 0 : amounts[minus]) + (plus === undefined ? 0 : amounts[plus]),
      held: ended ? -1 : writes.held === undefined ? store.held : held[writes.held],
      records: {
        old: writes.record === undefined ? store.records.old : recordOf[writes.record],
        new: writes.newRecord === undefined ? store.records.new : writes.newRecord === 'put' ? made : 0,
      },
      claims: {
        old: store.claims.old && !ended,
        new: writes.newClaim === undefined ? store.claims.new : writes.newClaim !== 'delete',
      },
      released: store.released || writes.release === 'put',
      slot:
        writes.slot === undefined
          ? store.slot
          : { put: 'booked' as const, recorded: 'recorded' as const, delete: null }[writes.slot],
      operation: ended
        ? null
        : {
            ...store.operation,
            step,
            refused: store.operation.refused || (workload && run.failed),
            own: revision,
            ...(workload && { header: revision }),
          },
      result: ended ? (failed ? 'refused' : 'ok') : store.result,
    },
  };
}

/** After its transaction is known to be written. */
function advance(state: State, id: CoreId, operation: Modelled, run: Run, [, step]: Target): State {
  if (step === end) return withCore(state, id, { up: true, run: null });
  return enter(state, id, operation, { step, takenOver: false, failed: run.failed }, run);
}

/** Goes to a step with what the store says of the operation now; `before` keeps the right of a slot. */
function enter(
  state: State,
  id: CoreId,
  operation: Modelled,
  at: Pick<Run, 'step' | 'takenOver' | 'failed'>,
  before?: Run,
): State {
  const row = rowOf(operation.table, at.step);
  const opening = openingOf(row, at.takenOver);
  const refused = opening === 'refuse';
  const { header = 0, own = 0 } = state.store.operation ?? {};
  const run: Run = {
    ...at,
    phase: opening === 'run' && row.effect !== 'none' ? 'effect' : 'write',
    refused,
    failed: at.failed || refused,
    header: before === undefined || operation.on === 'workload' ? header : before.header,
    own,
    right: before === undefined || operation.on === 'workload' ? header : before.right,
  };
  return withCore(state, id, { up: true, run });
}

/** What may become of a call when nobody waits for it any more: nothing, or it takes effect later. */
function* abandoned(state: State, id: CoreId, operation: Modelled): Iterable<readonly [text: string, State]> {
  yield ['', state];
  const { run } = state.cores[id];
  if (run?.phase !== 'effect') return;
  const { effect } = rowOf(operation.table, run.step);
  if (isLate(state, meaningOf(operation, effect)))
    yield [` while ${effect} is under way`, { ...state, late: [...state.late, { effect, right: run.right }] }];
}

function isLate({ late }: State, { verb }: Meaning): boolean {
  return late.length < lateCalls && verb !== 'look' && verb !== 'wait';
}

function lateMoves(state: State, operation: Modelled, rules: Rules): Move[] {
  return state.late.flatMap(({ effect, right }, index) => {
    const rest: State = { ...state, late: state.late.filter((_, other) => other !== index) };
    const call = { right, by: undefined };
    const done = apply(rest, effect, meaningOf(operation, effect), call, operation.amounts, !rules.rights);
    const move = (text: string, next: State): Move => ({ text, by: 'engine', fault: false, next: canonical(next) });
    return [move(`a late ${effect} takes effect`, done.state), move(`a late ${effect} is lost`, rest)];
  });
}

/** What others do with the workload afterwards, with a right of their own. */
function laterMoves(state: State, { stoppedLater }: Modelled): Move[] {
  const { store, objects, late } = state;
  const { old } = objects;
  if (stoppedLater !== true || !store.begun || store.operation !== null || late.length === 0) return [];
  if (store.records.old === 0 || old?.state !== 'running') return [];
  const stopped: EngineObject = { ...old, state: 'stopped', right: nextRevision(state) };
  const next = canonical({ ...state, objects: { ...objects, old: stopped } });
  return [{ text: 'another operation stops the workload', by: 'engine', fault: true, next }];
}

function firstStep(operation: Modelled): string {
  const [first = end] = Object.keys(operation.table);
  return passOver(operation.table, ['mark', first], (effect) => needed(operation, effect))[1];
}

function needed({ hooks }: Modelled, effect: string): boolean {
  return hooks || !/hooks$/i.test(effect);
}

function meaningOf({ effects, name }: Modelled, effect: string): Meaning {
  const meaning = effects[effect];
  if (meaning === undefined) throw new Error(`the model does not know what ${effect} of ${name} does`);
  return meaning;
}

function withCore(state: State, id: CoreId, core: Core): State {
  return { ...state, cores: id === 0 ? [core, state.cores[1]] : [state.cores[0], core] };
}

function withLease(state: State, id: CoreId, held: boolean): State {
  const [first, second] = state.store.leases;
  return { ...state, store: { ...state.store, leases: id === 0 ? [held, second] : [first, held] } };
}

/** What it owned is nobody's: its next tenure has another name. */
function withoutTenure(state: State, id: CoreId): State {
  const { operation } = state.store;
  if (operation?.owner !== id) return state;
  return { ...state, store: { ...state.store, operation: { ...operation, owner: undefined } } };
}
