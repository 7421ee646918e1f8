import { deadline, EruError, isEruError } from '@eru/kit';

import type { OwnWrite } from './commit.ts';
import type { Context } from './context.ts';
import { keys } from './keys.ts';
import type { Tenure } from './membership.ts';
import { encode, versioned, type OperationRecord, type Versioned, type WorkloadRecord } from './records.ts';

/** An operation on one workload: header and claim stand in the store, with this revision. */
export interface Claimed<T extends OperationRecord> {
  operation: T;
  headerRevision: number;
  claimRevision: number;
  /** The transaction that gave the right to effects on the engine: the claim, or the takeover. */
  right: number;
  record: Versioned<WorkloadRecord>;
}

/**
 * Claims a workload for an operation (operations.md, "Change and remove"). Another operation's claim is waited for up to the
 * lock timeout, then `busy`; nobody waits while holding a claim. `not_found` for an unknown workload.
 */
export async function claim<T extends OperationRecord>(
  context: Context,
  tenure: Tenure,
  id: string,
  operation: T,
  signal: AbortSignal,
): Promise<Claimed<T>> {
  const { view, clock, committer, limits } = context;
  const limit = deadline(clock, limits.lockTimeoutMs, AbortSignal.any([signal, tenure.signal]));
  try {
    for (;;) {
      const record = view.workloads.get(id);
      if (record === undefined) throw notFound(id);
      await view.until(() => (view.claims.get(id) === undefined ? true : undefined), limit.signal);
      const result = await committer.commit(tenure, {
        own: [
          { key: keys.claim(id), revision: 0, value: encode({ v: 1, operation: operation.id }) },
          { key: keys.operation(operation.id), revision: 0, value: encode(operation) },
        ],
        shared: [{ key: keys.workload(id), revision: record.modRevision }],
      });
      if (result.committed)
        return {
          operation,
          record,
          headerRevision: result.revision,
          claimRevision: result.revision,
          right: result.revision,
        };
      const current = result.current.get(keys.workload(id));
      if (current === undefined) throw notFound(id);
      view.applyWrites(
        [...result.current.values()].filter(({ key }) => key !== tenure.fence.key),
        [],
        0,
      );
      if (versioned(current).modRevision === record.modRevision && !result.current.has(keys.claim(id))) {
        throw new EruError('internal', `claiming ${id} failed without a reason`);
      }
    }
  } catch (error) {
    if (isEruError(EruError.from(error), 'timeout')) {
      throw new EruError(
        'busy',
        `workload ${id} is being changed by operation ${view.claims.get(id)?.value.operation ?? ''}; try again later`,
        { cause: error },
      );
    }
    throw error;
  } finally {
    limit.clear();
  }
}

/** The end of a claimed operation: both keys go in one transaction. */
export function endWrites(
  { operation, headerRevision, claimRevision }: Claimed<OperationRecord>,
  id: string,
): OwnWrite[] {
  return [
    { key: keys.claim(id), revision: claimRevision },
    { key: keys.operation(operation.id), revision: headerRevision },
  ];
}

/** Rewrites the header: a decision, or a mark before something that must not happen twice. */
export async function mark<T extends OperationRecord>(
  context: Context,
  tenure: Tenure,
  claimed: Claimed<T>,
  operation: T,
): Promise<Claimed<T>> {
  const result = await context.committer.commit(tenure, {
    own: [{ key: keys.operation(operation.id), revision: claimed.headerRevision, value: encode(operation) }],
  });
  if (!result.committed) throw new EruError('fenced', `operation ${operation.id} was taken over`);
  return { ...claimed, operation, headerRevision: result.revision };
}

function notFound(id: string): EruError {
  return new EruError('not_found', `key: /workloads/${id}: bad \`Count\` value, entity count invalid`);
}
