import type { Field } from '../field.ts';
import { firsts, type Before } from '../order.ts';
import { notEnoughCapacity, notEnoughResource, preferred, type Spread } from './spread.ts';

/** `count` new instances on each of `nodesLimit` nodes (all of them if 0), those with the most capacity. */
export function each(field: Field, count: number, nodesLimit: number): Spread {
  const wanted = nodesLimit || field.open;
  if (field.open < wanted)
    return notEnoughResource(`node len ${field.open} < limit, cannot alloc an average node plan`);

  const fits = (position: number): boolean => (field.capacity[position] as number) >= count;
  const order = firsts(field.size, field.followed ? field.size : wanted, preferred(field, roomiestFirst(field)), fits);
  const shares = new Map<number, number>();
  for (const position of order) {
    if (shares.size === wanted) break;
    if (!fits(position)) continue;
    field.take(position, count);
    shares.set(position, count);
  }

  if (shares.size === 0) return notEnoughCapacity('insufficient nodes, at least 1 needed');
  if (shares.size < wanted)
    return notEnoughResource(`not enough nodes with capacity of ${count}, require ${wanted} nodes`);
  return shares;
}

function roomiestFirst({ capacity }: Field): Before {
  return (a, b) => {
    const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
    return capacityA === capacityB ? a < b : capacityA > capacityB;
  };
}
