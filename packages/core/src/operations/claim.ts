import { deadline, EruError, isEruError } from '@eru/kit';

import { noSuchWorkload } from '../absent.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, versioned, type ClaimedOperation, type Versioned, type WorkloadRecord } from '../state/records.ts';
import { requestBegin, taken, type RequestKey } from './requests.ts';

/** An operation on one workload: header and claim stand in the store. */
export interface Claimed<Op extends ClaimedOperation> {
  operation: Op;
  /** Of the header: the last transaction of the operation, and the right to its next effect on the engine. */
  headerRevision: number;
  claimRevision: number;
  record: Versioned<WorkloadRecord>;
}

/**
 * Claims a workload for an operation (docs/protocol.md, "Claims"), which `begin` makes for the record that is claimed.
 * Another operation's claim is waited for up to the lock timeout, then `busy`; nobody waits while holding a claim.
 * `not_found` for an unknown workload.
 */
export async function claim<Op extends ClaimedOperation>(
  context: Context,
  tenure: Tenure,
  id: string,
  begin: (record: WorkloadRecord) => Op,
  request: RequestKey | undefined,
  signal: AbortSignal,
): Promise<Claimed<Op>> {
  const { view, clock, committer, limits } = context;
  const limit = deadline(clock, limits.lockTimeoutMs, AbortSignal.any([signal, tenure.signal]));
  try {
    for (;;) {
      const record = view.workloads.get(id);
      if (record === undefined) throw noSuchWorkload(id);
      await view.until(() => (view.claims.get(id) === undefined ? true : undefined), limit.signal);
      const operation = begin(record.value);
      const result = await committer.commit(tenure, {
        own: [
          { key: keys.claim(id), revision: 0, value: encode({ v: 1, operation: operation.id }) },
          { key: keys.operation(operation.id), revision: 0, value: encode(operation) },
          ...requestBegin(request, operation.id),
        ],
        shared: [{ key: keys.workload(id), revision: record.modRevision }],
      });
      if (result.committed)
        return { operation, record, headerRevision: result.revision, claimRevision: result.revision };
      view.applyWrites(
        [...result.current.values()].filter(({ key }) => key !== tenure.fence.key),
        [],
        0,
      );
      if (request !== undefined && result.current.has(keys.request(request.key))) throw taken(request.key);
      const current = result.current.get(keys.workload(id));
      if (current === undefined) throw noSuchWorkload(id);
      if (versioned(current).modRevision === record.modRevision && !result.current.has(keys.claim(id)))
        throw new EruError('internal', `claiming ${id} failed without a reason`);
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
