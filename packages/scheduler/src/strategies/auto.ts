import type { Field, Order, StillField } from '../field/field.ts';
import { unlimited } from '../model.ts';
import { Heap } from '../field/order.ts';
import { countInSteps, eachInSteps, type Steps } from '../steps.ts';
import { fuller } from './fuller.ts';
import { needMore, notEnoughResource, oneByOne, sumOf, type Spread } from './spread.ts';

/**
 * Levels the counts: each instance goes to the node with the fewest of this app, of these to the one with the most
 * capacity left. `nodesLimit` bounds the count of a node, existing workloads included.
 *
 * Not done one by one: the counts rise like water. All nodes below the final level are raised to it as far as they have
 * room, and what is left over goes to the level's nodes that come first now, one each. At most `count` nodes can be touched,
 * so only the first `count` need be looked at.
 */
export function* auto(field: Field, count: number, nodesLimit: number): Steps<Spread> {
  if (field.total < count) return needMore(count, field.total);
  const under = ({ count: counts }: Field, position: number): number =>
    nodesLimit > 0 ? nodesLimit - (counts[position] as number) : unlimited;

  const shares = field.followed
    ? yield* oneByOne(field, count, fewestFirst, (position) => under(field, position) >= 1)
    : yield* fillTo(field, count, (position) => Math.min(field.capacity[position] as number, under(field, position)));
  const placed = sumOf(shares);
  if (placed === count) return shares;
  return nodesLimit > 0
    ? notEnoughResource(`reached nodelimit, a node can host at most ${nodesLimit} instances`)
    : needMore(count, placed);
}

export const fewestFirst: Order = (figures) => (a, b) => {
  const { count, capacity } = figures;
  const [countA, countB] = [count[a] as number, count[b] as number];
  if (countA !== countB) return countA < countB;
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  return capacityA === capacityB ? fuller(figures, a, b) : capacityA > capacityB;
};

function* fillTo(field: StillField, count: number, room: (position: number) => number): Steps<Map<number, number>> {
  const nodes = field.firsts(fewestFirst, count).filter((position) => room(position) >= 1);
  const level = yield* waterLevel(field, count, nodes, room);
  const shares = new Map<number, number>();
  let left = count;
  yield* eachInSteps(nodes, (position) => {
    const share = Math.min(level - (field.count[position] as number), room(position));
    if (share <= 0) return;
    field.take(position, share);
    shares.set(position, share);
    left -= share;
  });

  const next = new Heap(fewestFirst(field));
  yield* eachInSteps(nodes, (position) => {
    if (field.count[position] === level && room(position) >= 1) next.push(position);
  });
  yield* countInSteps(Math.min(left, next.size), () => {
    const position = next.pop();
    shares.set(position, (shares.get(position) ?? 0) + 1);
  });
  return shares;
}

/** The highest level to which all of `count` can be spent on every node. */
function* waterLevel(
  field: StillField,
  count: number,
  nodes: readonly number[],
  room: (position: number) => number,
): Steps<number> {
  const counts = Float64Array.from(nodes, (position) => field.count[position] as number);
  const rooms = Float64Array.from(nodes, room);
  let low = counts.reduce((low, here) => Math.min(low, here), unlimited);
  let high = count + counts.reduce((high, here) => Math.max(high, here), 0);
  while (low < high) {
    const level = Math.ceil((low + high) / 2);
    let needed = 0;
    for (let node = 0; node < counts.length; node += 1)
      needed += Math.min(Math.max(0, level - (counts[node] as number)), rooms[node] as number);
    if (needed <= count) low = level;
    else high = level - 1;
    yield;
  }
  return low;
}
