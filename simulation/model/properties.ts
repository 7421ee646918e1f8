import type { Modelled } from './operations.ts';
import type { State, Subject } from './state.ts';

/** The invariants of docs/protocol.md that every state shows, by their numbers, as sentences about what is broken. */
export function brokenIn(state: State, { amounts }: Modelled): string[] {
  const { store, objects, hooks } = state;
  const broken: string[] = [];
  const held = store.records.old === 0 || store.held < 0 ? store.records.old : store.held;
  const booked = held + store.records.new + (store.slot === 'booked' ? amounts.new : 0);
  if (store.usage !== booked) broken.push(`1: usage is ${store.usage}, and ${booked} is booked`);
  for (const subject of ['old', 'new'] as const) {
    if (objects[subject] !== null && !objects[subject].orphan && !isAccounted(state, subject))
      broken.push(`2: the ${subject} object has neither record nor slot nor release`);
    if (store.records[subject] !== 0 && !store.claims[subject] && objects[subject] === null)
      broken.push(`3: the ${subject} workload is recorded, claimed by nobody, and lost`);
    if (store.claims[subject] && (store.operation === null || store.records[subject] === 0))
      broken.push(`4: the claim on the ${subject} workload belongs to nothing`);
  }
  for (const [hook, times] of Object.entries(hooks)) if (times > 1) broken.push(`hooks: ${hook} ran ${times} times`);
  return broken;
}

/** Also what has to hold when nothing is left to do. */
export function brokenAtRest(state: State, operation: Modelled): string[] {
  const { store, objects } = state;
  const broken: string[] = [];
  if (store.slot !== null || store.claims.old || store.claims.new) broken.push('6: a slot or claim is left');
  for (const subject of ['old', 'new'] as const) {
    if (objects[subject] !== null && !isAccounted(state, subject)) broken.push(`6: the ${subject} object is left`);
  }
  if (store.result !== null) {
    const missed = operation.goal(state, store.result);
    if (missed !== undefined) broken.push(`3: the result is ${store.result}, and ${missed}`);
  }
  return broken;
}

/** Nothing is in flight, on the engine or for the reconciler. */
export function isAtRest(state: State): boolean {
  const { store, objects, late, cores } = state;
  if (store.operation !== null || late.length > 0 || cores.some(({ run }) => run !== null)) return false;
  return (['old', 'new'] as const).every((subject) => {
    const object = objects[subject];
    if (object === null) return true;
    return isAccounted(state, subject) && (store.records[subject] === 0 || store.records[subject] === object.amount);
  });
}

function isAccounted({ store }: State, subject: Subject): boolean {
  return store.records[subject] !== 0 || (subject === 'new' ? store.slot !== null : store.released);
}
