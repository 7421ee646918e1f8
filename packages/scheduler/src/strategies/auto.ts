import type { Field, Order, StillField } from '../field.ts';
import { unlimited } from '../model.ts';
import type { Steps } from '../steps.ts';
import { needMore, notEnoughResource, oneByOne, sumOf, type Spread } from './spread.ts';

/**
 * Levels the counts: each instance goes to the node with the fewest of this app, of these to the one with the most
 * capacity left. `nodesLimit` bounds the count of a node, existing workloads included.
 *
 * Not done one by one: the counts rise like water. All nodes below the final level are raised to it as far as they have
 * room, and what is left over goes to the level's nodes with the most capacity left, one each. At most `count` nodes can
 * be touched, so only the first `count` are looked at.
 */
export function* auto(field: Field, count: number, nodesLimit: number): Steps<Spread> {
  if (field.total < count) return needMore(count, field.total);
  const under = ({ count: counts }: Field, position: number): number =>
    nodesLimit > 0 ? nodesLimit - (counts[position] as number) : unlimited;

  const shares = field.followed
    ? yield* oneByOne(field, count, fewestFirst, (position) => under(field, position) >= 1)
    : fillTo(field, count, (position) => Math.min(field.capacity[position] as number, under(field, position)));
  const placed = sumOf(shares);
  if (placed === count) return shares;
  return nodesLimit > 0
    ? notEnoughResource(`reached nodelimit, a node can host at most ${nodesLimit} instances`)
    : needMore(count, placed);
}

export const fewestFirst: Order =
  ({ count, capacity }) =>
  (a, b) => {
    const [countA, countB] = [count[a] as number, count[b] as number];
    if (countA !== countB) return countA < countB;
    const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
    return capacityA === capacityB ? a < b : capacityA > capacityB;
  };

function fillTo(field: StillField, count: number, room: (position: number) => number): Map<number, number> {
  const nodes = field.firsts(fewestFirst, count).filter((position) => room(position) >= 1);
  const shares = new Map<number, number>();
  const poured = (position: number, level: number): number =>
    Math.min(Math.max(0, level - (field.count[position] as number)), room(position));

  const level = waterLevel(field, count, nodes, poured);
  let left = count;
  for (const position of nodes) {
    const share = poured(position, level);
    if (share > 0) shares.set(position, share);
    left -= share;
  }

  const capacityLeft = (position: number): number => (field.capacity[position] as number) - poured(position, level);
  nodes
    .filter((position) => (field.count[position] as number) <= level && room(position) > poured(position, level))
    // Two unlimited nodes differ by NaN, which is as good as 0 here: the name decides.
    .sort((a, b) => capacityLeft(b) - capacityLeft(a) || a - b)
    .slice(0, left)
    .forEach((position) => shares.set(position, poured(position, level) + 1));
  return shares;
}

/** The highest level to which all of `count` can be spent on every node. */
function waterLevel(
  field: StillField,
  count: number,
  nodes: readonly number[],
  poured: (position: number, level: number) => number,
): number {
  let [low, high] = [unlimited, 0];
  for (const position of nodes) {
    low = Math.min(low, field.count[position] as number);
    high = Math.max(high, field.count[position] as number);
  }
  high += count;
  while (low < high) {
    const level = Math.ceil((low + high) / 2);
    let needed = 0;
    for (const position of nodes) needed += poured(position, level);
    if (needed <= count) low = level;
    else high = level - 1;
  }
  return low;
}
