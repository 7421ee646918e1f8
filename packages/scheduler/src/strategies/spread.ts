import type { Field, MovingField, Order } from '../field/field.ts';
import type { FailureIdentity } from '../model.ts';
import type { Steps } from '../steps.ts';

/** How many instances each position of the field gets (positions with none are absent), or why it cannot be. */
export type Spread = ReadonlyMap<number, number> | Shortage;

export interface Shortage {
  readonly identity: FailureIdentity;
  /** With the text of its identity. */
  readonly message: string;
}

/** `count` and `nodesLimit` mean what the strategy says (reference/scheduling.md section 6); `nodesLimit` 0 = none. */
export type SpreadRule = (field: Field, count: number, nodesLimit: number) => Steps<Spread>;

export function notEnoughResource(message: string): Shortage {
  return { identity: 'resource', message: `${message}: cannot alloc a plan, not enough resource` };
}

export function notEnoughCapacity(message: string): Shortage {
  return { identity: 'capacity', message: `${message}: cannot alloc a plan, not enough nodes capacity` };
}

export function needMore(need: number, available: number): Shortage {
  return notEnoughResource(`need: ${need}, available: ${available}`);
}

/**
 * Places one instance after the other, each on the node that comes first as the plan stands. The plain meaning of AUTO and
 * GLOBAL, and the only way when each instance changes what the kinds say of other nodes. Stops early when no node is open.
 */
export function* oneByOne(
  field: MovingField,
  count: number,
  order: Order,
  open?: (position: number) => boolean,
): Steps<Map<number, number>> {
  const shares = new Map<number, number>();
  const contest = field.contest(order, 1, open);
  yield* contest.prepare();
  for (let placed = 0; placed < count; placed += 1) {
    const position = contest.first;
    if (position < 0) break;
    yield* field.take(position, 1);
    shares.set(position, (shares.get(position) ?? 0) + 1);
  }
  return shares;
}

export function sumOf(shares: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const share of shares.values()) sum += share;
  return sum;
}
