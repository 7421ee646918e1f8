import type { Field } from '../field.ts';
import type { FailureIdentity } from '../model.ts';
import type { Before } from '../order.ts';

/** How many instances each position of the field gets (positions with none are absent), or why it cannot be. */
export type Spread = ReadonlyMap<number, number> | Shortage;

export interface Shortage {
  readonly identity: FailureIdentity;
  /** With the text of its identity. */
  readonly message: string;
}

/** `count` and `nodesLimit` mean what the strategy says (reference/scheduling.md section 6); `nodesLimit` 0 = none. */
export type SpreadRule = (field: Field, count: number, nodesLimit: number) => Spread;

export function notEnoughResource(message: string): Shortage {
  return { identity: 'resource', message: `${message}: cannot alloc a plan, not enough resource` };
}

export function notEnoughCapacity(message: string): Shortage {
  return { identity: 'capacity', message: `${message}: cannot alloc a plan, not enough nodes capacity` };
}

export function needMore(need: number, available: number): Shortage {
  return notEnoughResource(`need: ${need}, available: ${available}`);
}

/** What kinds prefer goes before what the strategy looks at. */
export function preferred(field: Field, before: Before): Before {
  if (!field.followed) return before;
  return (a, b) => {
    const difference = field.preference(a) - field.preference(b);
    return difference === 0 ? before(a, b) : difference > 0;
  };
}

/**
 * Places one instance after the other, each on the node that comes first as the plan stands. The plain meaning of AUTO and
 * GLOBAL, and the only way when each instance changes what the kinds say of other nodes. Stops early when no node is open.
 */
export function oneByOne(
  field: Field,
  count: number,
  before: Before,
  open: (position: number) => boolean,
): Map<number, number> {
  const shares = new Map<number, number>();
  const first = preferred(field, before);
  for (let placed = 0; placed < count; placed += 1) {
    let best = -1;
    for (let position = 0; position < field.size; position += 1) {
      if (open(position) && (best < 0 || first(position, best))) best = position;
    }
    if (best < 0) break;
    field.take(best, 1);
    shares.set(best, (shares.get(best) ?? 0) + 1);
  }
  return shares;
}

export function sumOf(shares: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const share of shares.values()) sum += share;
  return sum;
}
