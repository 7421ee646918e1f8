import type { Resources } from '@eru/scheduler';

import type { Commit, CommitResult, SharedWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type NodeResourcesRecord } from '../state/records.ts';

/** A change of what is booked on one node. */
export interface Booking {
  node: string;
  add: Resources[];
  subtract: Resources[];
}

/** All bookings of one node in one, in node-name order. */
function mergeBookings(bookings: readonly Booking[]): Booking[] {
  const byNode = new Map<string, Booking>();
  for (const { node, add, subtract } of bookings) {
    const merged = byNode.get(node) ?? { node, add: [], subtract: [] };
    merged.add.push(...add);
    merged.subtract.push(...subtract);
    byNode.set(node, merged);
  }
  return [...byNode.values()].toSorted((a, b) => (a.node < b.node ? -1 : 1));
}

/** The write that makes `booking` true, on the node's resources as the view has them; none for a node that is gone. */
export function bookingWrite({ view, scheduler }: Context, booking: Booking): SharedWrite[] {
  const entry = view.nodeResources.get(booking.node);
  if (entry === undefined) return [];
  const value: NodeResourcesRecord = { ...entry.value, ...scheduler.book(entry.value, booking.add, booking.subtract) };
  return [{ key: keys.nodeResources(booking.node), revision: entry.modRevision, value: encode(value) }];
}

/**
 * Commits `rest` together with bookings that must succeed (giving back is retried without bound): each attempt starts from
 * the node resources that the last one met.
 */
export async function commitWithBookings(
  context: Context,
  tenure: Tenure,
  rest: Commit,
  bookings: readonly Booking[],
): Promise<CommitResult> {
  const merged = mergeBookings(bookings);
  if (merged.length === 0) return context.committer.commit(tenure, rest);
  const { external } = context;
  const outside = external?.touched(merged) ?? [];
  if (external === undefined || outside.length === 0) return commitBookings(context, tenure, rest, merged);
  return external.change(tenure, outside, {
    bookings: () => merged,
    commit: (ends) => commitBookings(context, tenure, { ...rest, own: [...rest.own, ...ends] }, merged),
  });
}

async function commitBookings(
  context: Context,
  tenure: Tenure,
  rest: Commit,
  merged: readonly Booking[],
): Promise<CommitResult> {
  return context.turns.hold(
    merged.map(({ node }) => `node ${node}`),
    async () => {
      for (;;) {
        const shared = merged.flatMap((booking) => bookingWrite(context, booking));
        const result = await context.committer.commit(tenure, { ...rest, shared: [...(rest.shared ?? []), ...shared] });
        if (result.committed) return result;
        const moved = shared.filter(({ key, revision }) => (result.current.get(key)?.modRevision ?? 0) !== revision);
        if (moved.length === 0) return result;
        learn(
          context,
          result,
          moved.map(({ key }) => key),
        );
      }
    },
  );
}

/** Takes what a failed transaction has read into the view. */
export function learn(
  { view }: Context,
  { current, revision }: Extract<CommitResult, { committed: false }>,
  read: readonly string[],
): void {
  const kvs = read.flatMap((key) => current.get(key) ?? []);
  view.applyWrites(
    kvs,
    read.filter((key) => !current.has(key)),
    revision,
  );
}
