import type { CoreId, EngineObject, State, Subject } from './state.ts';

/** What a row's effect does on the engine. */
export interface Meaning {
  on: Subject;
  verb:
    | 'create'
    | 'start'
    | 'stop'
    | 'suspend'
    | 'resume'
    | 'update'
    | 'remove'
    | 'removeStopped'
    | 'hook'
    | 'wait'
    | 'look';
  /** Which amount an update sets. */
  amount?: Subject;
  /** Tried again by the effect itself, and given up at last as if it were done. */
  insists?: true;
  /** What fails is only logged. */
  forgives?: true;
  /** Only an answer of the engine is a refusal: without one it is asked again. */
  certain?: true;
}

export type Meanings = Readonly<Record<string, Meaning>>;

/** Of operations on one claimed workload. */
export const claimedEffects: Meanings = {
  stopHooks: { on: 'old', verb: 'hook' },
  startHooks: { on: 'old', verb: 'hook' },
  stopAndRemove: { on: 'old', verb: 'remove' },
  remove: { on: 'old', verb: 'remove' },
  removeStopped: { on: 'old', verb: 'removeStopped', certain: true },
  stop: { on: 'old', verb: 'stop' },
  start: { on: 'old', verb: 'start' },
  suspend: { on: 'old', verb: 'suspend' },
  resume: { on: 'old', verb: 'resume' },
  limits: { on: 'old', verb: 'update', amount: 'old' },
  update: { on: 'old', verb: 'update', amount: 'new' },
  updateBack: { on: 'old', verb: 'update', amount: 'old', insists: true },
};

export const replaceEffects: Meanings = {
  prepare: { on: 'old', verb: 'look' },
  stopHooks: { on: 'old', verb: 'hook' },
  stopOld: { on: 'old', verb: 'stop' },
  createNew: { on: 'new', verb: 'create' },
  startNew: { on: 'new', verb: 'start' },
  startHooks: { on: 'new', verb: 'hook' },
  healthy: { on: 'new', verb: 'look' },
  retireHooks: { on: 'old', verb: 'hook', forgives: true },
  retireOld: { on: 'old', verb: 'remove' },
  removeOld: { on: 'old', verb: 'remove' },
  removeNew: { on: 'new', verb: 'remove' },
  startOld: { on: 'old', verb: 'start', insists: true },
  returnHooks: { on: 'old', verb: 'hook' },
};

export const slotEffects: Meanings = {
  create: { on: 'new', verb: 'create' },
  start: { on: 'new', verb: 'start' },
  hooks: { on: 'new', verb: 'hook' },
  wait: { on: 'new', verb: 'wait' },
  remove: { on: 'new', verb: 'remove' },
};

export interface Applied {
  state: State;
  answer: 'ok' | 'refused' | 'fenced';
}

/**
 * A call takes effect. The engine finds what it is to create by name, takes a removal of nothing for done, and refuses a start,
 * stop, update or unforced removal with less than the highest right that it has seen for the object, unless `unfenced`.
 */
export function apply(
  state: State,
  effect: string,
  meaning: Meaning,
  call: { right: number; by: CoreId | undefined },
  amounts: Readonly<Record<Subject, number>>,
  unfenced: boolean,
): Applied {
  const { on, verb } = meaning;
  const object = state.objects[on];
  const put = (next: EngineObject | null): Applied => ({
    state: { ...state, objects: { ...state.objects, [on]: next } },
    answer: 'ok',
  });
  const refused = (): Applied => ({ state, answer: 'refused' });
  if (verb === 'look') return { state, answer: 'ok' };
  if (verb === 'remove') return put(null);
  if (verb === 'create') {
    const orphan = call.by === undefined || state.store.operation?.owner !== call.by;
    if (object === null) return put({ state: 'created', amount: amounts[on], right: call.right, orphan });
    return put({ ...object, right: Math.max(object.right, call.right), orphan: object.orphan && orphan });
  }
  if (object === null) return verb === 'removeStopped' ? { state, answer: 'ok' } : refused();
  const rightful = (change: Partial<EngineObject>): Applied =>
    call.right < object.right && !unfenced
      ? { state, answer: 'fenced' }
      : put({ ...object, ...change, right: Math.max(object.right, call.right) });
  switch (verb) {
    case 'removeStopped': {
      const allowed = rightful({});
      if (allowed.answer === 'fenced' || object.state !== 'running')
        return allowed.answer === 'ok' ? put(null) : allowed;
      return { ...allowed, answer: 'refused' };
    }
    case 'hook':
      return { state: { ...state, hooks: { ...state.hooks, [effect]: (state.hooks[effect] ?? 0) + 1 } }, answer: 'ok' };
    case 'wait':
      return put({ ...object, state: 'stopped' });
    case 'start':
    case 'resume':
      return rightful({ state: 'running' });
    case 'stop':
      return rightful({ state: 'stopped' });
    case 'suspend':
      return rightful({ state: 'suspended' });
    case 'update':
      return rightful({ amount: amounts[meaning.amount ?? on] });
  }
}
