import type { Field, Order, StillField } from '../field/field.ts';
import { Heap } from '../field/order.ts';
import { countInSteps, eachInSteps, type Steps } from '../steps.ts';
import { fuller } from './fuller.ts';
import { needMore, oneByOne, sumOf, type Spread } from './spread.ts';

/** Levels the resource usage: each instance goes to the node that is least used with it. `nodesLimit` is ignored. */
export function* global(field: Field, count: number): Steps<Spread> {
  if (field.total < count) return needMore(count, field.total);
  const shares = field.followed ? yield* oneByOne(field, count, leastUsedFirst) : yield* bestFirst(field, count);
  const placed = sumOf(shares);
  return placed === count ? shares : needMore(count, placed);
}

/** As one by one; but no more than `count` nodes can be touched, and only the one that was taken changes its place. */
function* bestFirst(field: StillField, count: number): Steps<Map<number, number>> {
  const heap = new Heap(leastUsedFirst(field));
  yield* eachInSteps(field.firsts(leastUsedFirst, count), (position) => heap.push(position));
  const shares = new Map<number, number>();
  yield* countInSteps(count, () => {
    if (heap.size === 0) return;
    const position = heap.top;
    field.take(position, 1);
    shares.set(position, (shares.get(position) ?? 0) + 1);
    if (field.room(position) >= 1) heap.settleTop();
    else heap.pop();
  });
  return shares;
}

/** In whole billionths: a third and two thirds are as much as one. */
export const leastUsedFirst: Order = (figures) => (a, b) => {
  const { usage, rate } = figures;
  const usedA = Math.round(1e9 * ((usage[a] as number) + (rate[a] as number)));
  const usedB = Math.round(1e9 * ((usage[b] as number) + (rate[b] as number)));
  return usedA === usedB ? fuller(figures, a, b) : usedA < usedB;
};
