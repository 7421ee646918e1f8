import { assertNever, EruError, limitConcurrency } from '@eru/kit';

import type { Context } from '../context.ts';
import { commitWithBookings } from '../operations/booking.ts';
import { controlWorkload } from '../operations/control.ts';
import { ExternalCheck, lookOutside, settleOutside } from '../external/check.ts';
import { isOver, lookAtNode, sameFinding, unclaimed, wrongUsage, type Finding } from './findings.ts';
import { engineTypeAt } from '../nodes/machine.ts';
import { keys } from '../state/keys.ts';
import { isEldest, type Tenure } from '../state/membership.ts';
import { encode, type Versioned, type WorkloadRecord } from '../state/records.ts';
import { writeStatuses } from '../operations/statuses.ts';

export interface ReconcilerOptions {
  /** Between two rounds on one node; two rounds must agree before anything is done. */
  intervalMs: number;
  /** How long a vanished workload keeps its booking. */
  graceMs: number;
}

export const defaultReconciler: ReconcilerOptions = { intervalMs: 15_000, graceMs: 120_000 };

/** Nodes that are compared at the same time. */
const concurrentNodes = 16;
/** Repairs of one round on one node; the rest has to be found again. What is wrong on a large scale is worth a look by people first. */
const repairsPerRound = 16;
/** Between the two looks of a check that somebody waits for. */
const checkPauseMs = 1000;

/** What is done about each kind, before and after. */
const actions: Readonly<Record<Finding['kind'], readonly [to: string, done: string]>> = {
  orphan: ['to be removed: its operation is over', 'removed: its operation was over'],
  vanished: ['to be marked, and freed after the grace time', 'marked, or freed when the grace time is over'],
  returned: ['mark to be taken away', 'mark taken away'],
  limits: ['engine to be told the recorded limits', 'engine told the recorded limits'],
  usage: ['to be set to the sum of what is booked', 'set to the sum of what is booked'],
  external: ['plugins to be told what is booked', 'plugins told what is booked'],
  status: ['to be shown as not running', 'shown as not running'],
  engine: ['to be recorded as what its engine tells', 'recorded as what its engine tells'],
  release: ['to be forgotten: the object is gone', 'forgotten: the object is gone'],
};

/**
 * Compares engine, records and usage of every node, round after round, and repairs what no operation claims and two rounds
 * agree on (docs/protocol.md, "Reconcile"). Objects without our identity are never touched. Every repair is a transaction that
 * compares what it was decided on.
 */
export class Reconciler {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #options: ReconcilerOptions;
  readonly #before = new Map<string, ReadonlySet<string>>();
  readonly #outside: ExternalCheck;

  constructor(context: Context, tenure: Tenure, options: ReconcilerOptions) {
    this.#context = context;
    this.#tenure = tenure;
    this.#options = options;
    this.#outside = new ExternalCheck(context, tenure);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { view, clock, random, logger } = this.#context;
    const over = AbortSignal.any([signal, this.#tenure.signal]);
    const limit = limitConcurrency(concurrentNodes);
    while (!over.aborted) {
      const { intervalMs } = this.#options;
      await clock.sleep(intervalMs * (0.75 + random.next() / 2), over).catch(() => {});
      if (over.aborted || !isEldest(view, this.#tenure)) continue;
      await Promise.all(
        view.nodes.names().map((node) =>
          limit(() =>
            this.#round(node).catch((error: unknown) => {
              if (!over.aborted) logger.debug({ err: error, node }, 'cannot compare a node now');
            }),
          ),
        ),
      );
    }
  }

  /** Compares one node and repairs what the round before had found too. */
  async #round(node: string): Promise<void> {
    const { measures } = this.#context;
    const findings = [
      ...(await lookAtNode(this.#context, node, this.#tenure.signal)),
      ...(await this.#outside.look(node)),
    ];
    for (const { kind } of findings) measures.differences.inc({ kind });
    const before = this.#before.get(node) ?? new Set();
    this.#before.set(node, new Set(findings.map(sameFinding)));
    const agreed = findings.filter((one) => before.has(sameFinding(one)));
    await repairAll(this.#context, this.#tenure, agreed.slice(0, repairsPerRound), this.#options.graceMs);
  }
}

/** A difference, and what is done about it. */
export interface Difference extends Finding {
  action: string;
}

/** Looks at a node twice, answers what was different both times, and mends it with `fix`. */
export async function checkAndFix(
  context: Context,
  tenure: Tenure,
  node: string,
  fix: boolean,
  signal: AbortSignal,
): Promise<Difference[]> {
  const look = async (): Promise<Finding[]> => [
    ...(await lookAtNode(context, node, signal)),
    ...(await lookOutside(context, node, signal)),
  ];
  const before = new Set((await look()).map(sameFinding));
  if (before.size === 0) return [];
  await context.clock.sleep(checkPauseMs, signal);
  const agreed = (await look()).filter((one) => before.has(sameFinding(one)));
  const repaired = fix
    ? await repairAll(context, tenure, agreed, defaultReconciler.graceMs)
    : new Map<Finding, string>();
  return agreed.map((finding) => ({ ...finding, action: repaired.get(finding) ?? actions[finding.kind][0] }));
}

/** One after the other: a node that is wrong in many ways is not to be shaken. Answers what was done. */
async function repairAll(
  context: Context,
  tenure: Tenure,
  findings: readonly Finding[],
  graceMs: number,
): Promise<Map<Finding, string>> {
  const { logger, measures } = context;
  const done = new Map<Finding, string>();
  for (const finding of findings) {
    const { kind } = finding;
    try {
      if (!(await new Repair(context, tenure, graceMs).run(finding))) continue;
      const [, action] = actions[kind];
      measures.repairs.inc({ kind });
      logger.warn({ ...finding, action }, `reconciled: ${kind}`);
      done.set(finding, action);
    } catch (error) {
      if (tenure.signal.aborted) throw error;
      logger.warn({ ...finding, err: error }, `not reconciled: ${kind}`);
      done.set(finding, `not mended: ${EruError.from(error).message}`);
    }
  }
  return done;
}

class Repair {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #graceMs: number;

  constructor(context: Context, tenure: Tenure, graceMs: number) {
    this.#context = context;
    this.#tenure = tenure;
    this.#graceMs = graceMs;
  }

  /** True when something was changed. */
  async run({ kind, node, object }: Finding): Promise<boolean> {
    const { signal } = this.#tenure;
    switch (kind) {
      case 'orphan':
        await this.#context.engineOf(node).remove(object, { force: true, signal });
        return true;
      case 'vanished':
        return this.#vanished(object);
      case 'returned':
        return this.#rewrite(object, ({ vanishedAtMs: _seen, ...record }) => record);
      case 'limits':
        await controlWorkload(this.#context, this.#tenure, { id: object, type: 'limits', force: false }, signal);
        return true;
      case 'usage':
        return this.#usage(node);
      case 'external':
        return settleOutside(this.#context, this.#tenure, node);
      case 'status':
        return this.#status(node, object);
      case 'release':
        return this.#endRelease(object);
      case 'engine':
        return this.#engine(node);
      default:
        return assertNever(kind);
    }
  }

  /** First marks it; after the grace time frees what it had booked. */
  async #vanished(id: string): Promise<boolean> {
    const { clock } = this.#context;
    const record = await unclaimed(this.#context, id, this.#tenure.signal);
    if (record === undefined) return false;
    const { vanishedAtMs } = record.value;
    if (vanishedAtMs === undefined) return this.#rewrite(id, (value) => ({ ...value, vanishedAtMs: clock.now() }));
    if (clock.now() - vanishedAtMs < this.#graceMs) return false;
    return this.#free(record);
  }

  async #free({ value: record, modRevision }: Versioned<WorkloadRecord>): Promise<boolean> {
    const { id, node, resources } = record;
    const result = await commitWithBookings(
      this.#context,
      this.#tenure,
      {
        own: [{ key: keys.workload(id), revision: modRevision }],
        compare: [{ key: keys.claim(id), target: 'create', op: '=', value: 0 }],
        deletes: [keys.workloadStatus(id)],
      },
      [{ node, add: [], subtract: [resources] }],
    );
    return result.committed;
  }

  async #rewrite(id: string, change: (record: WorkloadRecord) => WorkloadRecord): Promise<boolean> {
    const record = await unclaimed(this.#context, id, this.#tenure.signal);
    if (record === undefined) return false;
    const result = await this.#context.committer.commit(this.#tenure, {
      own: [{ key: keys.workload(id), revision: record.modRevision, value: encode(change(record.value)) }],
      compare: [{ key: keys.claim(id), target: 'create', op: '=', value: 0 }],
    });
    return result.committed;
  }

  /** What was released is gone, and its name never returns. */
  async #endRelease(id: string): Promise<boolean> {
    const release = this.#context.view.releases.get(id);
    if (release === undefined) return false;
    const result = await this.#context.committer.commit(this.#tenure, {
      own: [{ key: keys.release(id), revision: release.modRevision }],
    });
    return result.committed;
  }

  /** Sets usage to its sum at one revision, if the node's resources have not changed since. */
  async #usage(node: string): Promise<boolean> {
    const wrong = await wrongUsage(this.#context, node);
    if (wrong === undefined) return false;
    const { key, revision, value } = wrong;
    const result = await this.#context.committer.commit(this.#tenure, {
      own: [],
      shared: [{ key, revision, value: encode(value) }],
    });
    return result.committed;
  }

  /** It is asked once more: nothing but what it tells now is written. */
  async #engine(node: string): Promise<boolean> {
    const record = this.#context.view.nodes.get(node);
    const engine = await engineTypeAt(this.#context, node, this.#tenure.signal);
    if (record === undefined || engine === undefined || engine === record.value.engine) return false;
    const result = await this.#context.committer.commit(this.#tenure, {
      own: [{ key: keys.node(node), revision: record.modRevision, value: encode({ ...record.value, engine }) }],
    });
    return result.committed;
  }

  /** The engine is asked once more: its agent may have been faster. */
  async #status(node: string, id: string): Promise<boolean> {
    const { view } = this.#context;
    const object = await this.#context.engineOf(node).inspect(id, { signal: this.#tenure.signal });
    const status = view.workloadStatuses.get(id)?.value;
    if (status?.running !== true || !isOver(object) || view.claims.get(id) !== undefined) return false;
    const run = status.run && {
      ...status.run,
      state: object.state,
      reason: 'its agent has not reported that it ended',
    };
    const corrected = { ...status, running: false, healthy: false, ...(run !== undefined && { run }) };
    await writeStatuses(this.#context, this.#tenure, [{ id, status: corrected }]);
    return true;
  }
}
