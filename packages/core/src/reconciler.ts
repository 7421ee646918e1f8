import { assertNever, EruError, limitConcurrency, retry, stableStringify } from '@eru/kit';
import { labelNames, limitsOf, type EngineParams, type WorkloadState } from '@eru/engines';

import type { Context } from './context.ts';
import { controlWorkload } from './control.ts';
import { bookedByNode, snapshot } from './invariants.ts';
import { keys } from './keys.ts';
import { isEldest, type Tenure } from './membership.ts';
import { differs, wantedParams } from './remap.ts';
import { encode, versioned, type NodeResourcesRecord, type Versioned, type WorkloadRecord } from './records.ts';

export interface ReconcilerOptions {
  /** Between two rounds on one node; two rounds must agree before anything is done. */
  intervalMs: number;
  /** How long a vanished workload keeps its booking. */
  graceMs: number;
}

export const defaultReconciler: ReconcilerOptions = { intervalMs: 15_000, graceMs: 120_000 };

/** Nodes that are compared at the same time. */
const concurrentNodes = 16;

/** One difference between engine, records and usage. Equal `key`s in two rounds are the same difference. */
export interface Finding {
  kind: 'orphan' | 'vanished' | 'returned' | 'limits' | 'usage' | 'release';
  node: string;
  /** Workload id, or the node's name for `usage`. */
  object: string;
  recorded: string;
  found: string;
}

/**
 * Compares engine, records and usage of every node, round after round, and repairs what no operation claims and two rounds
 * agree on (operations.md, "Reconcile"). Objects without our identity are never touched. Every repair is a transaction that
 * compares what it was decided on.
 */
export class Reconciler {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #options: ReconcilerOptions;
  readonly #before = new Map<string, Set<string>>();

  constructor(context: Context, tenure: Tenure, options: ReconcilerOptions) {
    this.#context = context;
    this.#tenure = tenure;
    this.#options = options;
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
            this.round(node).catch((error: unknown) => {
              if (!over.aborted) logger.debug({ err: error, node }, 'cannot compare a node now');
            }),
          ),
        ),
      );
    }
  }

  /** Compares one node and repairs what the round before had found too. Answers all findings of this round. */
  async round(node: string): Promise<Finding[]> {
    const findings = await this.#look(node);
    const before = this.#before.get(node) ?? new Set();
    this.#before.set(node, new Set(findings.map(keyOf)));
    for (const finding of findings.filter((one) => before.has(keyOf(one)))) {
      const done = await this.#repair(finding);
      if (done) this.#context.logger.warn({ ...finding }, `repaired: ${finding.kind}`);
    }
    return findings;
  }

  async #look(node: string): Promise<Finding[]> {
    const { view } = this.#context;
    // The engine first: what is made after this moment has its record or slot in the store already.
    const objects = await this.#context
      .engineOf(node)
      .list({ labels: { [labelNames.cluster]: this.#cluster() }, signal: this.#tenure.signal });
    const byId = new Map(objects.map((object) => [object.id, object]));
    const findings: Finding[] = [];
    const shared = wantedParams(this.#context, node);
    for (const object of objects) findings.push(...(await this.#lookAtObject(node, object, shared)));
    for (const record of view.workloadsOn(node)) {
      if (!byId.has(record.id)) findings.push(...(await this.#lookAtMissing(record)));
    }
    for (const [id, { value }] of view.releases) {
      if (value.node === node && !byId.has(id))
        findings.push({ kind: 'release', node, object: id, recorded: value.name, found: 'nothing' });
    }
    findings.push(...this.#lookAtUsage(node));
    return findings;
  }

  async #lookAtObject(
    node: string,
    object: WorkloadState,
    shared: ReadonlyMap<string, EngineParams>,
  ): Promise<Finding[]> {
    const { view, store } = this.#context;
    const record = view.workloads.get(object.id)?.value;
    if (record !== undefined) {
      if (view.claims.get(record.id) !== undefined) return [];
      if (record.vanishedAtMs !== undefined)
        return [{ kind: 'returned', node, object: record.id, recorded: 'vanished', found: object.state }];
      const wanted = limitsOf(shared.get(record.id) ?? record.engineParams);
      if (!differs(wanted, object)) return [];
      const [recorded, found] = [stableStringify(wanted), stableStringify(object.limits.requested)];
      return [{ kind: 'limits', node, object: record.id, recorded, found }];
    }
    const operation = object.labels[labelNames.operation] ?? '';
    const [stored, header, release] = await Promise.all([
      store.get(keys.workload(object.id), { signal: this.#tenure.signal }),
      store.get(keys.operation(operation), { signal: this.#tenure.signal }),
      store.get(keys.release(object.id), { signal: this.#tenure.signal }),
    ]);
    if (stored !== undefined || header !== undefined || release !== undefined) return [];
    return [{ kind: 'orphan', node, object: object.id, recorded: 'nothing', found: object.name }];
  }

  async #lookAtMissing(known: WorkloadRecord): Promise<Finding[]> {
    if ((await this.#unclaimed(known.id)) === undefined) return [];
    return [{ kind: 'vanished', node: known.node, object: known.id, recorded: known.name, found: 'nothing' }];
  }

  #lookAtUsage(node: string): Finding[] {
    const { view, scheduler } = this.#context;
    const resources = view.nodeResources.get(node)?.value;
    if (resources === undefined) return [];
    const { lines } = scheduler.diff(resources, view.booked(node).get(node) ?? []);
    return lines.length === 0 ? [] : [{ kind: 'usage', node, object: node, recorded: lines.join('; '), found: '' }];
  }

  /** True when something was changed. */
  async #repair(finding: Finding): Promise<boolean> {
    switch (finding.kind) {
      case 'orphan':
        await this.#context.engineOf(finding.node).remove(finding.object, { force: true, signal: this.#tenure.signal });
        return true;
      case 'vanished':
        return this.#repairVanished(finding.object);
      case 'returned':
        return this.#rewrite(finding.object, ({ vanishedAtMs: _seen, ...record }) => record);
      case 'limits':
        await controlWorkload(
          this.#context,
          this.#tenure,
          { id: finding.object, type: 'limits', force: false },
          this.#tenure.signal,
        );
        return true;
      case 'usage':
        return this.#repairUsage(finding.node);
      case 'release':
        return this.#endRelease(finding.object);
      default:
        return assertNever(finding.kind);
    }
  }

  /** First marks it; after the grace time frees what it had booked. */
  async #repairVanished(id: string): Promise<boolean> {
    const { clock } = this.#context;
    const record = await this.#unclaimed(id);
    if (record === undefined) return false;
    const { vanishedAtMs } = record.value;
    if (vanishedAtMs === undefined) return this.#rewrite(id, (value) => ({ ...value, vanishedAtMs: clock.now() }));
    if (clock.now() - vanishedAtMs < this.#options.graceMs) return false;
    return this.#free(record);
  }

  async #free({ value: record, modRevision }: Versioned<WorkloadRecord>): Promise<boolean> {
    const { committer, view, scheduler } = this.#context;
    const resources = view.nodeResources.get(record.node);
    if (resources === undefined) return false;
    const usage: NodeResourcesRecord = {
      ...resources.value,
      ...scheduler.book(resources.value, [], [record.resources]),
    };
    const result = await committer.commit(this.#tenure, {
      own: [{ key: keys.workload(record.id), revision: modRevision }],
      shared: [{ key: keys.nodeResources(record.node), revision: resources.modRevision, value: encode(usage) }],
      compare: [{ key: keys.claim(record.id), target: 'create', op: '=', value: 0 }],
      deletes: [keys.workloadStatus(record.id)],
    });
    return result.committed;
  }

  async #rewrite(id: string, change: (record: WorkloadRecord) => WorkloadRecord): Promise<boolean> {
    const record = await this.#unclaimed(id);
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
  async #repairUsage(node: string): Promise<boolean> {
    const { store, scheduler, committer } = this.#context;
    const all = await retry(() => snapshot(store), {
      attempts: 3,
      clock: this.#context.clock,
      random: this.#context.random,
    });
    const kv = all.kvs.get(keys.nodeResources(node));
    if (kv === undefined) return false;
    const { value } = versioned<NodeResourcesRecord>(kv);
    const { lines, fixed } = scheduler.diff(value, bookedByNode(all).get(node) ?? []);
    if (lines.length === 0) return false;
    const result = await committer.commit(this.#tenure, {
      own: [],
      shared: [{ key: kv.key, revision: kv.modRevision, value: encode({ ...value, ...fixed }) }],
    });
    return result.committed;
  }

  /** The record as the store has it, when nobody claims it. */
  async #unclaimed(id: string): Promise<Versioned<WorkloadRecord> | undefined> {
    const { store } = this.#context;
    const [record, claim] = await Promise.all([
      store.get(keys.workload(id), { signal: this.#tenure.signal }),
      store.get(keys.claim(id), { signal: this.#tenure.signal }),
    ]);
    return record === undefined || claim !== undefined ? undefined : versioned<WorkloadRecord>(record);
  }

  #cluster(): string {
    const cluster = this.#context.view.cluster.get('')?.value.id;
    if (cluster === undefined) throw new EruError('internal', 'the cluster has no identity yet');
    return cluster;
  }
}

function keyOf({ kind, object, recorded, found }: Finding): string {
  return JSON.stringify([kind, object, recorded, found]);
}
