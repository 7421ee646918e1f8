import { firsts, type Before } from '../order.ts';
import type { Field } from '../field.ts';
import { notEnoughResource, preferred, type Spread } from './spread.ts';

/** Tops up `nodesLimit` nodes (all of them if 0) to `count` workloads of this app each, the fullest first. */
export function fill(field: Field, count: number, nodesLimit: number): Spread {
  const wanted = nodesLimit || field.open;
  if (field.open < wanted) return notEnoughResource(`node len ${field.open} cannot alloc a fill node plan`);

  const fits = (position: number): boolean => {
    const capacity = field.capacity[position] as number;
    return capacity >= 1 && capacity + (field.count[position] as number) >= count;
  };
  const order = firsts(field.size, field.followed ? field.size : wanted, preferred(field, fullestFirst(field)), fits);
  const shares = new Map<number, number>();
  let filled = 0;
  for (const position of order) {
    if (filled === wanted) break;
    if (!fits(position)) continue;
    const missing = Math.max(0, count - (field.count[position] as number));
    if (missing > 0) {
      field.take(position, missing);
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

function fullestFirst({ count, capacity }: Field): Before {
  return (a, b) => {
    const [countA, countB] = [count[a] as number, count[b] as number];
    if (countA !== countB) return countA > countB;
    const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
    return capacityA === capacityB ? a < b : capacityA > capacityB;
  };
}
