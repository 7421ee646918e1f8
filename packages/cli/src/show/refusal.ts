import type { eru } from '@eru/contract';
import { EruError } from '@eru/kit';
import { explain, type CapacityResult, type Refusal } from '@eru/scheduler';

/** Nodes with room that are named one by one. */
const named = 20;

/** The reason, then where there is room, then what is missing: equal nodes together. */
export function refusalOf(message: string, { capacity, refused }: CapacityResult): EruError {
  const room = capacity.nodes.slice(0, named).map(({ node, count }) => `${node}: room for ${roomText(count)}`);
  const more = capacity.nodes.length - room.length;
  const others = more > 0 ? [`and ${more} more nodes with room`] : [];
  return new EruError(
    'no_capacity',
    [message || 'it does not fit', ...room, ...others, ...explain(refused)].join('\n  '),
  );
}

export function refusal(result: eru.PlanResult): EruError {
  return refusalOf(result.message, capacityOf(result));
}

/** What a core has said of its nodes, in the scheduler's terms. */
export function capacityOf({ total, capacities, refused }: eru.PlanResult): CapacityResult {
  const nodes = Object.entries(capacities).map(([node, count]) => ({ node, count: countOf(count) }));
  return {
    capacity: { total: countOf(total), nodes: nodes.toSorted((a, b) => (a.node < b.node ? -1 : 1)) },
    refused: refused.map(({ node, kind, reason, needed, free, unit }): Refusal => {
      return { node, kind, reason, needed, free, unit: unit === 'bytes' || unit === 'none' ? unit : 'number' };
    }),
  };
}

const unbounded = 2n ** 63n - 1n;

export function countOf(count: bigint): number {
  return count >= unbounded ? Infinity : Number(count);
}

export function roomText(count: number | undefined): string {
  if (count === undefined) return '';
  return Number.isFinite(count) ? String(count) : 'any number';
}
