import { moves, initial, type Move } from './moves.ts';
import { protocol, type Modelled, type Rules } from './operations.ts';
import { brokenAtRest, brokenIn, isAtRest } from './properties.ts';
import { exchanged, keysOf, type CoreId, type State } from './state.ts';

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

/** A move by numbers of states; `swapped`: its two cores have each other's name in the state that it leads to. */
interface Edge {
  from: number;
  to: number;
  swapped: boolean;
  by: Move['by'];
  core: CoreId | undefined;
}

/**
 * Visits every reachable state, breadth first, until one breaks a property. Then termination: from every state in which a core
 * lives, rest can be reached by this core alone, without a fault, whatever the other one left (backwards from rest).
 */
export function explore(operation: Modelled, rules: Rules = protocol): Explored {
  const states: State[] = [];
  const known = new Map<string, number>();
  const from: Pick<Edge, 'from' | 'swapped'>[] = [];
  const texts: string[] = [];
  const edges: Edge[] = [];
  let atRest = 0;
  const visit = (state: State): readonly [index: number, swapped: boolean, isNew: boolean] => {
    const [straight, other] = keysOf(state);
    const swapped = other < straight;
    const key = swapped ? other : straight;
    const index = known.get(key);
    if (index !== undefined) return [index, swapped, false];
    known.set(key, states.length);
    states.push(swapped ? exchanged(state) : state);
    return [states.length - 1, swapped, true];
  };
  const ended = (broken: string, at: number, last: string[] = []): Explored => ({
    states: states.length,
    atRest,
    violation: { broken, trace: traceTo(at, from, texts, last) },
  });
  visit(initial(operation));
  for (let index = 0; index < states.length; index++) {
    const state = states[index] as State;
    const rests = isAtRest(state);
    if (rests) atRest += 1;
    const [broken] = [...brokenIn(state, operation), ...(rests ? brokenAtRest(state, operation) : [])];
    if (broken !== undefined) return ended(broken, index);
    for (const move of moves(state, operation, rules)) {
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
  const stuck = unending(states, edges);
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
function unending(states: readonly State[], edges: readonly Edge[]): number | undefined {
  // A node is a state and the core that acts in it: 2 × state + core.
  const back: number[][] = states.flatMap(() => [[], []]);
  for (const { from, to, swapped, by, core: whose } of edges) {
    for (const core of [0, 1] as const) {
      if (by !== core && by !== 'engine' && !(by === 'lease' && whose !== core)) continue;
      back[2 * to + (swapped ? 1 - core : core)]?.push(2 * from + core);
    }
  }
  const ends = new Uint8Array(2 * states.length);
  const queue: number[] = [];
  for (const [index, state] of states.entries()) {
    for (const core of [0, 1] as const) if (isAtRest(withOnly(state, core))) queue.push(2 * index + core);
  }
  for (const node of queue) ends[node] = 1;
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    for (const before of back[node] ?? []) {
      if (ends[before] === 1) continue;
      ends[before] = 1;
      queue.push(before);
    }
  }
  const stuck = ends.findIndex(
    (end, node) => end === 0 && states[node >> 1]?.cores[node % 2 === 0 ? 0 : 1].up === true,
  );
  return stuck < 0 ? undefined : stuck >> 1;
}

/** As if the other core slept: what it still believes does not matter. */
function withOnly(state: State, core: CoreId): State {
  const [first, second] = state.cores;
  return { ...state, cores: core === 0 ? [first, { ...second, run: null }] : [{ ...first, run: null }, second] };
}
