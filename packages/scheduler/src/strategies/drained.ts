import type { Field, Order, StillField } from '../field/field.ts';
import type { Steps } from '../steps.ts';
import { sooner } from './fuller.ts';
import { needMore, oneByOne, sumOf, type Spread } from './spread.ts';

/** Fills the smallest node first, of these the most used one. `nodesLimit` is ignored. */
export function* drained(field: Field, count: number): Steps<Spread> {
  if (field.total < count) return needMore(count, field.total);
  const shares = field.followed ? yield* oneByOne(field, count, smallestFirst) : yield* inTurn(field, count);
  const placed = sumOf(shares);
  return placed === count ? shares : needMore(count, placed);
}

function* inTurn(field: StillField, count: number): Steps<Map<number, number>> {
  const contest = field.contest(smallestFirst, 1);
  yield* contest.prepare();
  const shares = new Map<number, number>();
  let left = count;
  for (let position = contest.first; left > 0 && position >= 0; position = contest.first) {
    const share = Math.min(field.room(position), left);
    field.take(position, share);
    shares.set(position, share);
    left -= share;
  }
  return shares;
}

export const smallestFirst: Order = (figures) => (a, b) => {
  const { capacity, usage } = figures;
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  if (capacityA !== capacityB) return capacityA < capacityB;
  const [usageA, usageB] = [usage[a] as number, usage[b] as number];
  return usageA === usageB ? sooner(figures, a, b) : usageA > usageB;
};
