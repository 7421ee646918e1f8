import type { Field } from '../field.ts';
import { firsts, type Before } from '../order.ts';
import { needMore, preferred, type Spread } from './spread.ts';

/** Fills the smallest node first, of these the most used one. `nodesLimit` is ignored. */
export function drained(field: Field, count: number): Spread {
  if (field.total < count) return needMore(count, field.total);
  // Every node with room takes at least one, so the first `count` are enough; with followers rooms may vanish meanwhile.
  const open = (position: number): boolean => (field.capacity[position] as number) >= 1;
  const order = firsts(field.size, field.followed ? field.size : count, preferred(field, smallestFirst(field)), open);
  const shares = new Map<number, number>();
  let left = count;
  for (const position of order) {
    const share = Math.min(field.capacity[position] as number, left);
    if (share < 1) continue;
    field.take(position, share);
    shares.set(position, share);
    left -= share;
    if (left === 0) return shares;
  }
  return needMore(count, count - left);
}

function smallestFirst({ capacity, usage }: Field): Before {
  return (a, b) => {
    const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
    if (capacityA !== capacityB) return capacityA < capacityB;
    const [usageA, usageB] = [usage[a] as number, usage[b] as number];
    return usageA === usageB ? a < b : usageA > usageB;
  };
}
