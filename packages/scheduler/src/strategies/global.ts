import type { Field } from '../field.ts';
import { firsts, Heap, type Before } from '../order.ts';
import { needMore, oneByOne, sumOf, type Spread } from './spread.ts';

/** Levels the resource usage: each instance goes to the node that is least used with it. `nodesLimit` is ignored. */
export function global(field: Field, count: number): Spread {
  if (field.total < count) return needMore(count, field.total);
  const open = (position: number): boolean => (field.capacity[position] as number) >= 1;
  const shares = field.followed ? oneByOne(field, count, leastUsedFirst(field), open) : bestFirst(field, count, open);
  const placed = sumOf(shares);
  return placed === count ? shares : needMore(count, placed);
}

/** As one by one; but no more than `count` nodes can be touched, and only the one that was taken changes its place. */
function bestFirst(field: Field, count: number, open: (position: number) => boolean): Map<number, number> {
  const before = leastUsedFirst(field);
  const heap = new Heap(before);
  for (const position of firsts(field.size, count, before, open)) heap.push(position);
  const shares = new Map<number, number>();
  for (let placed = 0; placed < count && heap.size > 0; placed += 1) {
    const position = heap.top;
    field.take(position, 1);
    shares.set(position, (shares.get(position) ?? 0) + 1);
    if (open(position)) heap.settleTop();
    else heap.pop();
  }
  return shares;
}

function leastUsedFirst({ usage, rate }: Field): Before {
  return (a, b) => {
    const usedA = (usage[a] as number) + (rate[a] as number);
    const usedB = (usage[b] as number) + (rate[b] as number);
    return usedA === usedB ? a < b : usedA < usedB;
  };
}
