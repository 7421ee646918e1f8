import { end, openingOf, passOver, rowOf, type Table, type Target } from '@eru/core';

import type { Move } from './explore.ts';
import type { Rolled, RollRules } from './roll-rules.ts';
import { withItem, withRollCore, type Item, type ItemRun, type RollState } from './roll-state.ts';
import type { CoreId } from './state.ts';

type Add = (text: string, next: RollState, more?: Partial<Move<RollState>>) => void;

/** What a core is about, and how its moves are noted. */
interface Acting {
  state: RollState;
  id: CoreId;
  roll: Rolled;
  rules: RollRules;
  add: Add;
}

/** Everything that can happen in a state. */
export function rollMoves(state: RollState, roll: Rolled, rules: RollRules): Move<RollState>[] {
  return ([0, 1] as const).flatMap((id) => {
    const found: Move<RollState>[] = [];
    const add: Add = (text, next, more = {}) => {
      found.push({ text: `core ${id}${text.startsWith("'") ? '' : ' '}${text}`, by: id, fault: false, next, ...more });
    };
    coreMoves({ state, id, roll, rules, add });
    return found;
  });
}

function coreMoves(acting: Acting): void {
  const { state, id, rules, add } = acting;
  const core = state.cores[id];
  const lease = state.leases[id];
  const idle = core.roll === null && core.replaces.every((run) => run === null);
  const left = state.troubles - 1;
  if (lease && !core.up) {
    add(`'s lease ends`, withLease(withoutTenure(state, id), id, false), { by: 'lease', core: id });
  } else if (lease && left >= 0) {
    const next = { ...(idle ? withoutTenure(state, id) : withLease(state, id, false)), troubles: left };
    add(`'s lease ends`, next, { by: 'lease', core: id, fault: true });
  }
  if (!core.up) {
    if (!lease) add('starts anew', withLease(withRollCore(state, id, { up: true }), id, true));
    return;
  }
  const without = dropped(state, id);
  if (left >= 0) add('dies', withDeath(state, id), { fault: true });
  if (!lease) add('drops its work and joins anew', withLease(withoutTenure(without, id), id, true));
  if (lease || !rules.fence) {
    takeovers(acting);
    for (const index of turns(acting)) itemMoves(acting, index);
    endMove(acting);
  }
  for (const index of state.items.keys()) replaceMoves(acting, index);
}

/** Begins the roll, or takes over it or one of its replaces. */
function takeovers({ state, id, roll, add }: Acting): void {
  const { cores, leases, items } = state;
  const idle = cores[id].roll === null;
  const runs = (takenOver: boolean): ItemRun[] => items.map(() => ({ takenOver, own: false, tried: false }));
  if (!state.begun) {
    const begun: RollState = { ...state, begun: true, roll: { owner: id } };
    add('begins the roll', withRollCore(begun, id, { roll: { fresh: true, hasFiles: true, items: runs(false) } }));
  }
  const mayTake = (owner: CoreId | undefined): boolean => owner === undefined || owner === id || !leases[owner];
  if (state.roll !== null && idle && mayTake(state.roll.owner)) {
    const taken = outdated({ ...state, roll: { owner: id } }, id, 'roll');
    const hasFiles = roll.files !== true;
    add('takes the roll over', withRollCore(taken, id, { roll: { fresh: true, hasFiles, items: runs(true) } }));
  }
  for (const [index, { replace }] of items.entries()) {
    if (replace === null || cores[id].replaces[index] !== null || !mayTake(replace.owner)) continue;
    const taken = outdated(withItem(state, index, { replace: { ...replace, owner: id } }), id, index);
    add(`takes replace ${index} over at ${replace.step}`, withReplace(taken, id, index, true));
  }
}

/** The items whose turn it is: those that were begun come first, and no more than the window at a time. */
function turns({ state, id, roll, rules }: Acting): number[] {
  const run = state.cores[id].roll;
  if (run === null || state.roll === null) return [];
  const open = [...state.items.keys()].filter((index) => state.items[index]?.step !== end);
  const waits = (index: number): number => Number(state.items[index]?.step === Object.keys(roll.table)[0]);
  return open.toSorted((a, b) => waits(a) - waits(b)).slice(0, rules.window ? roll.window : open.length);
}

function itemMoves(acting: Acting, index: number): void {
  const { state, id, roll, add } = acting;
  const run = state.cores[id].roll;
  const item = state.items[index] as Item;
  if (run === null) return;
  if (!run.fresh) return add('finds the roll taken over, and drops it', withRollCore(state, id, { roll: null }));
  const { takenOver, own, tried } = run.items[index] as ItemRun;
  const row = rowOf(roll.table, item.step);
  const owned = violationOf(state, id, state.roll?.owner);
  const write = (text: string, from: RollState, target: Target, outcome: Item['outcome'], fault = false): void => {
    if (target[0] === 'take' && hasFailed(from)) return write('does not begin', from, row.refused as Target, 'skipped');
    const ended = target[1] === end;
    const change = { step: target[1], outcome: ended ? outcome : null, ...(ended && { request: 'none' as const }) };
    const written = outdated(withItem(from, index, change), id, 'roll');
    add(`${text}: item ${index} → ${target[1]}`, withItemRun(written, id, index, { takenOver: false }), {
      fault,
      ...owned,
    });
  };
  const opening = openingOf(row, takenOver);
  if (opening === 'refuse') return write('gives up', state, row.refused as Target, 'failed');
  if (row.effect === 'none') return write('takes its turn', state, row.ok, 'ok');
  const refuse = (text: string, fault = false): void =>
    write(text, fault ? { ...state, refused: true } : state, row.refused as Target, 'failed', fault);
  switch (item.request) {
    case 'none':
      if (!run.hasFiles) return refuse('has not the files');
      beginReplace(acting, index);
      return refuse('cannot begin the replace', true);
    case 'begun':
      return;
    case 'ok':
      return write('hears that it is replaced', state, row.ok, 'ok');
    case 'failed':
      if (own || tried || !run.hasFiles || hasFailed(state)) return refuse('hears that it is not replaced');
      return add(
        `tries item ${index} once more`,
        withItemRun(outdated(withItem(state, index, { request: 'none' }), id, 'roll'), id, index, { tried: true }),
        owned,
      );
  }
}

function beginReplace({ state, id, roll, add }: Acting, index: number): void {
  const replace = { owner: id, step: firstStep(roll.replace), refused: false };
  const begun = withItem(state, index, { replace, request: 'begun' });
  const counted = { ...begun, begunTooLate: begun.begunTooLate + Number(hasFailed(state)) };
  const owned = violationOf(state, id, state.roll?.owner);
  add(`begins replace ${index}`, withReplace(withItemRun(counted, id, index, { own: true }), id, index, false), owned);
}

function endMove({ state, id, add }: Acting): void {
  const { roll, items, cores } = state;
  if (roll === null || cores[id].roll?.fresh !== true || items.some(({ step }) => step !== end)) return;
  add('ends the roll', withRollCore({ ...outdated(state, id, 'roll'), roll: null }, id, { roll: null }), {
    ...violationOf(state, id, roll.owner),
  });
}

/**
 * A row of a replace: its effect and its transaction. What lies between the two is a core that dies or sleeps after the effect;
 * all that may happen to one replace is in the model of that (`moves.ts`).
 */
function replaceMoves({ state, id, roll, rules, add }: Acting, index: number): void {
  const run = state.cores[id].replaces[index] ?? null;
  const item = state.items[index] as Item;
  if (run === null) return;
  const gone = withReplace(state, id, index, null);
  if (!run.fresh || item.replace === null) return add(`finds replace ${index} taken over, and drops it`, gone);
  const { step, owner } = item.replace;
  const row = rowOf(roll.replace, step);
  const opening = openingOf(row, run.takenOver);
  const runs = opening === 'run' && row.effect !== 'none';
  const done = runs ? withItem(state, index, effectOf(row.effect, item)) : state;
  if (runs && done !== state && state.troubles > 0)
    add(`does ${row.effect} of ${index} and dies`, withDeath(done, id), { fault: true });
  if (!state.leases[id] && rules.fence) {
    if (runs) add(`does ${row.effect} of ${index}, and is fenced off`, dropped(done, id));
    return;
  }
  const owned = violationOf(state, id, owner);
  const write = (text: string, from: RollState, target: Target, refusal: boolean, fault = false): void => {
    const [, next] = passOver(roll.replace, target, (effect) => needed(effect));
    const refused = (from.items[index]?.replace?.refused ?? false) || refusal;
    const ended: Partial<Item> = { replace: null, request: refused ? 'failed' : 'ok' };
    const change: Partial<Item> = next === end ? ended : { replace: { owner, step: next, refused } };
    const written = outdated(withItem(from, index, change), id, index);
    const after = withReplace(written, id, index, next === end ? null : false);
    add(`${text} of ${index} → ${next}`, fault ? { ...after, refused: true } : after, { fault, ...owned });
  };
  if (opening === 'refuse') return write(`gives up ${step}`, state, row.refused as Target, true);
  write(`does ${row.effect}`, done, row.ok, false);
  if (row.refused === undefined || !runs || row.effect === 'startOld') return;
  write(`is refused ${row.effect}`, state, row.refused, true, true);
  if (done !== state) write(`does ${row.effect}, and the reply is lost`, done, row.refused, true, true);
}

function effectOf(effect: string, { old, made }: Item): Partial<Item> {
  switch (effect) {
    case 'stopOld':
      return { old: 'stopped' };
    case 'startOld':
      return { old: old === 'gone' ? 'gone' : 'running' };
    case 'createNew':
      return { made: made === 'none' ? 'made' : made };
    case 'healthy':
      return { made: made === 'made' ? 'healthy' : made };
    case 'removeOld':
    case 'retireOld':
      return { old: 'gone' };
    case 'removeNew':
      return { made: 'none' };
    default:
      return {};
  }
}

function hasFailed({ items }: RollState): boolean {
  return items.some(({ outcome }) => outcome === 'failed');
}

/** Hooks, and a start apart from the creation, make no difference to a roll. */
function needed(effect: string): boolean {
  return !/hooks$/i.test(effect) && effect !== 'startNew';
}

function firstStep(table: Table): string {
  const [first = end] = Object.keys(table);
  return passOver(table, ['mark', first], needed)[1];
}

function violationOf({ leases }: RollState, id: CoreId, owner: CoreId | undefined): Partial<Move<RollState>> {
  if (!leases[id]) return { violation: `4: core ${id} wrote without its lease` };
  return owner === id ? {} : { violation: `4: core ${id} wrote to an operation of core ${owner ?? 'nobody'}` };
}

/** All others know it no more as it is: the roll, or the replace of an item. */
function outdated(state: RollState, by: CoreId, what: 'roll' | number): RollState {
  const id = by === 0 ? 1 : 0;
  const { roll, replaces } = state.cores[id];
  if (what === 'roll') return withRollCore(state, id, { roll: roll && { ...roll, fresh: false } });
  return withRollCore(state, id, {
    replaces: replaces.map((run, index) => (run !== null && index === what ? { ...run, fresh: false } : run)),
  });
}

function withReplace(state: RollState, id: CoreId, index: number, takenOver: boolean | null): RollState {
  const run = takenOver === null ? null : { fresh: true, takenOver };
  return withRollCore(state, id, { replaces: state.cores[id].replaces.with(index, run) });
}

function withItemRun(state: RollState, id: CoreId, index: number, change: Partial<ItemRun>): RollState {
  const { roll } = state.cores[id];
  if (roll === null) return state;
  const items = roll.items.map((run, at) => (at === index ? { ...run, ...change } : run));
  return withRollCore(state, id, { roll: { ...roll, items } });
}

function dropped(state: RollState, id: CoreId): RollState {
  return withRollCore(state, id, { roll: null, replaces: state.items.map(() => null) });
}

function withDeath(state: RollState, id: CoreId): RollState {
  const dead = { ...withRollCore(dropped(state, id), id, { up: false }), troubles: state.troubles - 1 };
  return state.leases[id] ? dead : withoutTenure(dead, id);
}

function withLease(state: RollState, id: CoreId, held: boolean): RollState {
  return { ...state, leases: id === 0 ? [held, state.leases[1]] : [state.leases[0], held] };
}

/** What it owned is nobody's: its next tenure has another name. */
function withoutTenure(state: RollState, id: CoreId): RollState {
  const over = (owner: CoreId | undefined): CoreId | undefined => (owner === id ? undefined : owner);
  return {
    ...state,
    roll: state.roll && { owner: over(state.roll.owner) },
    items: state.items.map((item) => ({
      ...item,
      replace: item.replace && { ...item.replace, owner: over(item.replace.owner) },
    })),
  };
}
