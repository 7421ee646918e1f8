import type { Field, Order } from '../field/field.ts';
import type { Steps } from '../steps.ts';
import { fuller } from './fuller.ts';
import { notEnoughCapacity, notEnoughResource, type Spread } from './spread.ts';

/** `count` new instances on each of `nodesLimit` nodes (all of them if 0), those with the most capacity. */
export function* each(field: Field, count: number, nodesLimit: number): Steps<Spread> {
  const wanted = nodesLimit || field.open;
  if (field.open < wanted)
    return notEnoughResource(`node len ${field.open} < limit, cannot alloc an average node plan`);

  const contest = field.contest(roomiestFirst, count);
  yield* contest.prepare();
  const shares = new Map<number, number>();
  for (let position = contest.first; shares.size < wanted && position >= 0; position = contest.first) {
    yield* field.take(position, count);
    shares.set(position, count);
    contest.drop(position);
  }

  if (shares.size === 0) return notEnoughCapacity('insufficient nodes, at least 1 needed');
  if (shares.size < wanted)
    return notEnoughResource(`not enough nodes with capacity of ${count}, require ${wanted} nodes`);
  return shares;
}

export const roomiestFirst: Order = (figures) => (a, b) => {
  const { capacity } = figures;
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  return capacityA === capacityB ? fuller(figures, a, b) : capacityA > capacityB;
};
