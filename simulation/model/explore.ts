import type { CoreId } from './state.ts';

/** A world of two cores that are alike, as a graph of states. */
export interface Model<S> {
  initial: S;
  /** Everything that can happen in a state. */
  moves(state: S): Move<S>[];
  /** What does not hold, as sentences. */
  broken(state: S): string[];
  /** Also what has to hold when nothing is left to do. */
  brokenAtRest(state: S): string[];
  isAtRest(state: S): boolean;
  /** Equal for equal states; and the key of the same state with its cores' names exchanged. */
  keysOf(state: S): readonly [straight: string, exchanged: string];
  exchanged(state: S): S;
  isUp(state: S, core: CoreId): boolean;
  /** Leases end only so often: a core that sleeps is then waited for by the other. */
  waits?: true;
  /** As if the other core slept: what it still believes does not matter. */
  withOnly(state: S, core: CoreId): S;
}

/** One step of the world. */
export interface Move<S> {
  text: string;
  /** Who makes it: a core, the engine (a late call), or the end of a core's lease. */
  by: CoreId | 'engine' | 'lease';
  core?: CoreId;
  /** It need not happen: everything has to end without it. */
  fault: boolean;
  next: S;
  /** A transaction that should not have been possible. */
  violation?: string;
}

export interface Explored {
  states: number;
  atRest: number;
  /** The first violation, by one of the shortest ways to it; undefined when there is none. */
  violation: Violation | undefined;
}

export interface Violation {
  broken: string;
  /** What happened, from the beginning. */
  trace: string[];
}

/** A violation for people: the shortest way to it. */
export function told(what: string, { broken: sentence, trace }: Violation): string {
  return [`${what}: ${sentence}`, ...trace.map((step, index) => `  ${index + 1}. ${step}`)].join('\n');
}

/** A move by numbers of states; `swapped`: its two cores have each other's name in the state that it leads to. */
interface Edge {
  from: number;
  to: number;
  swapped: boolean;
  by: Move<unknown>['by'];
  core: CoreId | undefined;
}

/**
 * Visits every reachable state, breadth first, until one breaks a property. Then termination: from every state in which a core
 * lives, rest can be reached by this core alone, without a fault, whatever the other one left (backwards from rest).
 */
export function explore<S>(model: Model<S>): Explored {
  const states: S[] = [];
  const known = new Map<string, number>();
  const from: Pick<Edge, 'from' | 'swapped'>[] = [];
  const texts: string[] = [];
  const edges: Edge[] = [];
  let atRest = 0;
  const visit = (state: S): readonly [index: number, swapped: boolean, isNew: boolean] => {
    const [straight, other] = model.keysOf(state);
    const swapped = other < straight;
    const key = swapped ? other : straight;
    const index = known.get(key);
    if (index !== undefined) return [index, swapped, false];
    known.set(key, states.length);
    states.push(swapped ? model.exchanged(state) : state);
    return [states.length - 1, swapped, true];
  };
  const ended = (broken: string, at: number, last: string[] = []): Explored => ({
    states: states.length,
    atRest,
    violation: { broken, trace: traceTo(at, from, texts, last) },
  });
  visit(model.initial);
  for (let index = 0; index < states.length; index++) {
    const state = states[index] as S;
    const rests = model.isAtRest(state);
    if (rests) atRest += 1;
    const [broken] = [...model.broken(state), ...(rests ? model.brokenAtRest(state) : [])];
    if (broken !== undefined) return ended(broken, index);
    for (const move of model.moves(state)) {
      if (move.violation !== undefined) return ended(move.violation, index, [move.text]);
      const [to, swapped, isNew] = visit(move.next);
      if (isNew) {
        from[to] = { from: index, swapped };
        texts[to] = move.text;
      }
      const { by, core, fault } = move;
      if (!fault || by === 'lease') edges.push({ from: index, to, swapped, by, core });
    }
  }
  const stuck = unending(model, states, edges);
  if (stuck !== undefined) return ended('5: a core lives and can never bring this to its end', stuck);
  return { states: states.length, atRest, violation: undefined };
}

/** What happened from the beginning, with the cores' names as they were there. */
function traceTo(
  at: number,
  from: readonly Pick<Edge, 'from' | 'swapped'>[],
  texts: readonly string[],
  last: readonly string[],
): string[] {
  const way: { text: string; swapped: boolean }[] = last.map((text) => ({ text, swapped: false }));
  for (let index = at; index > 0; index = from[index]?.from ?? 0)
    way.unshift({ text: texts[index] ?? '', swapped: from[index]?.swapped === true });
  let swapped = false;
  return way.map((step) => {
    const text = swapped ? step.text.replaceAll(/core ([01])/g, (_, id) => `core ${id === '0' ? 1 : 0}`) : step.text;
    if (step.swapped) swapped = !swapped;
    return text;
  });
}

/** The first state in which a core lives that cannot reach one without operation, late call or finding by itself. */
function unending<S>(model: Model<S>, states: readonly S[], edges: readonly Edge[]): number | undefined {
  // A node is a state and the core that acts in it: 2 × state + core.
  const back: number[][] = states.flatMap(() => [[], []]);
  for (const { from, to, swapped, by, core: whose } of edges) {
    for (const core of [0, 1] as const) {
      if (model.waits !== true && by !== core && by !== 'engine' && !(by === 'lease' && whose !== core)) continue;
      back[2 * to + (swapped ? 1 - core : core)]?.push(2 * from + core);
    }
  }
  const ends = new Uint8Array(2 * states.length);
  const queue: number[] = [];
  for (const [index, state] of states.entries()) {
    for (const core of [0, 1] as const)
      if (model.isAtRest(model.waits === true ? state : model.withOnly(state, core))) queue.push(2 * index + core);
  }
  for (const node of queue) ends[node] = 1;
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    for (const before of back[node] ?? []) {
      if (ends[before] === 1) continue;
      ends[before] = 1;
      queue.push(before);
    }
  }
  const stuck = ends.findIndex((end, node) => end === 0 && model.isUp(states[node >> 1] as S, node % 2 === 0 ? 0 : 1));
  return stuck < 0 ? undefined : stuck >> 1;
}
