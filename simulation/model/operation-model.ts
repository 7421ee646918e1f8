import type { Model } from './explore.ts';
import { initial, moves } from './moves.ts';
import { protocol, type Modelled, type Rules } from './operations.ts';
import { brokenAtRest, brokenIn, isAtRest } from './properties.ts';
import { exchanged, keysOf, type State } from './state.ts';

export function operationModel(operation: Modelled, changed: Partial<Rules> = {}): Model<State> {
  const rules = { ...protocol, ...changed };
  return {
    initial: initial(operation),
    moves: (state) => moves(state, operation, rules),
    broken: (state) => brokenIn(state, operation),
    brokenAtRest: (state) => brokenAtRest(state, operation),
    isAtRest,
    keysOf,
    exchanged,
    isUp: ({ cores }, id) => cores[id].up,
    withOnly: (state, id) => {
      const [first, second] = state.cores;
      return { ...state, cores: id === 0 ? [first, { ...second, run: null }] : [{ ...first, run: null }, second] };
    },
  };
}
