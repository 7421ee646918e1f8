import type { Field, Order } from '../field/field.ts';
import type { Steps } from '../steps.ts';
import { fuller } from './fuller.ts';
import { notEnoughResource, type Spread } from './spread.ts';

/** Tops up `nodesLimit` nodes (all of them if 0) to `count` workloads of this app each, the fullest first. */
export function* fill(field: Field, count: number, nodesLimit: number): Steps<Spread> {
  const wanted = nodesLimit || field.open;
  if (field.open < wanted) return notEnoughResource(`node len ${field.open} cannot alloc a fill node plan`);

  const contest = field.contest(fullestFirst, 1);
  yield* contest.prepare();
  const shares = new Map<number, number>();
  let filled = 0;
  for (let position = contest.first; filled < wanted && position >= 0; position = contest.first) {
    yield;
    const missing = Math.max(0, count - (field.count[position] as number));
    contest.drop(position);
    if (missing > field.room(position)) continue;
    if (missing > 0) {
      yield* field.take(position, missing);
      shares.set(position, missing);
    }
    filled += 1;
  }

  if (filled < wanted)
    return notEnoughResource(
      `not enough nodes that can fill up to ${count} instances, require ${wanted - filled} nodes`,
    );
  if (shares.size > 0) return shares;
  return { identity: 'filled', message: 'cannot alloc a fill node plan, each node has enough workloads' };
}

export const fullestFirst: Order = (figures) => (a, b) => {
  const { count, capacity } = figures;
  const [countA, countB] = [count[a] as number, count[b] as number];
  if (countA !== countB) return countA > countB;
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  return capacityA === capacityB ? fuller(figures, a, b) : capacityA > capacityB;
};
