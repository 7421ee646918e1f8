import { EruError, isEruError, stableStringify } from '@eru/kit';
import type { Compare } from '@eru/store';

import { learn } from './booking.ts';
import type { OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type WorkloadStatusRecord } from '../state/records.ts';

/** What somebody says of a workload; `ttlMs` of the status 0 or absent: until it is said anew. */
export interface StatusReport {
  id: string;
  status: WorkloadStatusRecord;
}

/** Each status is a put and two compares, one of them read back. */
const statusesPerCommit = 32;
/** Writes of one batch that lose against other reporters before the caller is told. */
const attempts = 16;

/**
 * Writes statuses, each only if its workload has a record; what is stored already is not written again, so nobody hears of
 * it. Of several reports on one workload the last counts. Answers the ids that have no record (yet).
 */
export async function writeStatuses(
  context: Context,
  tenure: Tenure,
  reports: readonly StatusReport[],
): Promise<{ unknown: string[] }> {
  const unknown: string[] = [];
  const batches = batched(
    [...new Map(reports.map((report) => [report.id, report])).values()],
    context.store.limits.txnBytes / 4,
  );
  for (const batch of batches) unknown.push(...(await writeBatch(context, tenure, batch)));
  return { unknown };
}

/** Nothing of a node's workloads runs, as far as anyone can tell. */
export async function markDown(context: Context, tenure: Tenure, node: string): Promise<void> {
  const reports = context.view.workloadsOn(node).map(({ id }): StatusReport => {
    const { ttlMs: _life, ...known } = context.view.workloadStatuses.get(id)?.value ?? noStatus;
    return { id, status: { ...known, running: false, healthy: false } };
  });
  await writeStatuses(context, tenure, reports);
}

const noStatus: WorkloadStatusRecord = { v: 1, running: false, healthy: false, networks: {}, extension: '' };

async function writeBatch(context: Context, tenure: Tenure, batch: readonly StatusReport[]): Promise<string[]> {
  const { view, committer } = context;
  const unknown = batch.filter(({ id }) => view.workloads.get(id) === undefined).map(({ id }) => id);
  let left = batch.filter(({ id }) => !unknown.includes(id));
  for (let attempt = 1; attempt <= attempts; attempt++) {
    left = await news(context, left);
    if (left.length === 0) return unknown;
    const writes = await Promise.all(left.map((report) => writeOf(context, report)));
    const result = await committer.commit(tenure, { own: writes, compare: left.map(({ id }) => recorded(id)) });
    if (result.committed) return unknown;
    await dropLeases(context, writes);
    learn(
      context,
      result,
      left.map(({ id }) => keys.workloadStatus(id)),
    );
    const gone = left.filter(({ id }) => !result.current.has(keys.workload(id))).map(({ id }) => id);
    unknown.push(...gone);
    left = left.filter(({ id }) => !gone.includes(id));
  }
  throw new EruError(
    'conflict',
    `others report on the same workloads (${left[0]?.id ?? ''} and ${left.length - 1} more); try again`,
  );
}

/** Those that differ from what is stored. A leased one that is the same is prolonged instead. */
async function news({ view, store }: Context, reports: readonly StatusReport[]): Promise<StatusReport[]> {
  const different: StatusReport[] = [];
  for (const report of reports) {
    const known = view.workloadStatuses.get(report.id);
    if (known === undefined || stableStringify(known.value) !== stableStringify(report.status)) {
      different.push(report);
      continue;
    }
    if (known.lease === undefined) continue;
    try {
      await store.renewLease(known.lease);
    } catch (error) {
      if (!isEruError(error, 'not_found')) throw error;
      different.push(report);
    }
  }
  return different;
}

async function writeOf({ view, store }: Context, { id, status }: StatusReport): Promise<OwnWrite> {
  const write = {
    key: keys.workloadStatus(id),
    revision: view.workloadStatuses.get(id)?.modRevision ?? 0,
    value: encode(status),
  };
  if (status.ttlMs === undefined) return write;
  return { ...write, lease: (await store.grantLease(status.ttlMs)).id };
}

async function dropLeases({ store, logger }: Context, writes: readonly OwnWrite[]): Promise<void> {
  for (const { lease } of writes) {
    if (lease !== undefined)
      await store.revokeLease(lease).catch((error: unknown) => logger.debug({ err: error }, 'cannot end a lease'));
  }
}

function recorded(id: string): Compare {
  return { key: keys.workload(id), target: 'create', op: '>', value: 0 };
}

function batched(reports: readonly StatusReport[], mostBytes: number): StatusReport[][] {
  const batches: StatusReport[][] = [];
  let bytes = 0;
  for (const report of reports) {
    const size = encode(report).length;
    const open = batches.at(-1);
    if (open !== undefined && open.length < statusesPerCommit && bytes + size <= mostBytes) open.push(report);
    else {
      batches.push([report]);
      bytes = 0;
    }
    bytes += size;
  }
  return batches;
}
