import { EruError, isEruError, limitConcurrency, stableStringify } from '@eru/kit';
import { labelNames, limitsOf, type EngineParams, type Limits, type WorkloadState } from '@eru/engines';
import type { Resources } from '@eru/scheduler';

import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import { isEldest, type Tenure } from '../state/membership.ts';
import type { Change } from '../state/tables.ts';

/** Changes of a node within this time are answered by one look at it. */
const gatherMs = 50;

/** Pause before a node whose engine did not answer is tried again; the reconciler would come to it as well. */
const retryMs = 15_000;

const concurrentNodes = 16;

/** What an engine should be told of a workload, from the parts of it that a record or a slot has. */
interface Holder {
  resources: Resources;
  engineParams: EngineParams;
}

/**
 * The engine parameters of the workloads on a node whose share follows what others hold (scheduling.md section 3.7), by id.
 * None when nobody on the node has cores of its own: then all of them share the whole machine, which needs no limit.
 */
export function wantedParams(
  { view, scheduler, external }: Context,
  node: string,
  more: ReadonlyMap<string, Holder> = new Map(),
): Map<string, EngineParams> {
  const resources = view.nodeResources.get(node)?.value;
  const outside = external?.shares(node) ?? new Map<string, Resources>();
  const records = view.workloadsOn(node);
  const coming = view.slotsOn(node).filter(({ recorded }) => !recorded);
  const owned = outside.size > 0 || [records, coming, more.values()].some((some) => hasOwner(some));
  if (resources === undefined || !owned) return new Map();
  const holders = new Map<string, Holder>([...records.map((record) => [record.id, record] as const), ...more]);
  const shares = scheduler.remap(resources, new Map([...holders].map(([id, holder]) => [id, holder.resources])));
  const told = new Set([...shares.keys(), ...outside.keys()]);
  return new Map(
    [...holders]
      .filter(([id]) => told.has(id))
      .map(([id, { engineParams }]) => [id, { ...engineParams, ...shares.get(id), ...outside.get(id) }]),
  );
}

/** One of them has cores of its own. */
function hasOwner(holders: Iterable<Holder>): boolean {
  for (const { engineParams } of holders) if (limitsOf(engineParams).cpuset !== undefined) return true;
  return false;
}

/** What the engine is told of one workload, which may not be recorded yet. */
export function paramsOf(context: Context, node: string, holder: Holder & { id: string }): EngineParams {
  return wantedParams(context, node, new Map([[holder.id, holder]])).get(holder.id) ?? holder.engineParams;
}

/** True when the engine was last asked for something else, as far as `wanted` speaks of it; cores are always compared. */
export function differs(wanted: Limits, object: WorkloadState): boolean {
  const names = new Set([...Object.keys(wanted), 'cpuset']) as Set<keyof Limits>;
  const pick = (limits: Limits): string =>
    stableStringify([...names].toSorted().map((name) => [name, limits[name] ?? null]));
  return pick(wanted) !== pick(object.limits.requested);
}

/**
 * Tells the engines what the workloads share, in the background, whenever a booking or a workload of a node changes. One look
 * for all changes that come together; it may be repeated. What an operation claims is left to that operation, whose end is a
 * change again. An update carries the revision of the view that it was computed from: whatever is decided later wins.
 */
export class Remap {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #waiting = new Set<string>();
  /** Nodes where something was shared out: a pool that has become whole again must be told too. */
  readonly #shared = new Set<string>();
  readonly #limit = limitConcurrency(concurrentNodes);

  constructor(context: Context, tenure: Tenure) {
    this.#context = context;
    this.#tenure = tenure;
  }

  /** Until the tenure ends or `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const over = AbortSignal.any([signal, this.#tenure.signal]);
    const unsubscribe = this.#context.view.subscribe((change) => {
      const node = nodeOfChange(change);
      if (node !== undefined) this.#ask(node, gatherMs, over);
    });
    await new Promise<void>((resolve) => {
      if (over.aborted) resolve();
      else over.addEventListener('abort', () => resolve(), { once: true });
    });
    unsubscribe();
  }

  #ask(node: string, afterMs: number, over: AbortSignal): void {
    if (this.#waiting.has(node) || !isEldest(this.#context.view, this.#tenure)) return;
    this.#waiting.add(node);
    this.#context.clock.timer(afterMs, () => {
      this.#waiting.delete(node);
      if (over.aborted) return;
      void this.#limit(() => this.share(node)).catch((error: unknown) => {
        if (over.aborted) return;
        this.#context.logger.debug({ err: error, node }, 'cannot share out a node now');
        this.#ask(node, retryMs, over);
      });
    });
  }

  /** One look at a node. */
  async share(node: string): Promise<void> {
    const { view } = this.#context;
    const cluster = view.cluster.get('')?.value.id;
    const revision = view.revision;
    await this.#context.external?.askShares(node, this.#tenure.signal);
    const wanted = wantedParams(this.#context, node);
    if (cluster === undefined || (wanted.size === 0 && !this.#shared.has(node))) return;
    const engine = this.#context.engineOf(node);
    const { signal } = this.#tenure;
    const objects = await effect(this.#context, this.#tenure, () =>
      engine.list({ labels: { [labelNames.cluster]: cluster }, signal }),
    );
    for (const object of objects) {
      const record = view.workloads.get(object.id)?.value;
      if (record === undefined || view.claims.get(object.id) !== undefined) continue;
      const params = wanted.get(object.id) ?? record.engineParams;
      if (!differs(limitsOf(params), object)) continue;
      await effect(this.#context, this.#tenure, () => engine.update(object.id, params, { revision, signal })).catch(
        (error: unknown) => {
          // Somebody has decided later, it is gone, or its engine cannot: others of the node are told all the same.
          const over = (['fenced', 'not_found', 'unsupported'] as const).some((code) => isEruError(error, code));
          if (!over) throw EruError.from(error);
        },
      );
    }
    if (wanted.size > 0) this.#shared.add(node);
    else this.#shared.delete(node);
  }
}

/** The node whose pool may have changed. */
function nodeOfChange({ table, name, before, after }: Change): string | undefined {
  if (table === 'nodeResources') return name;
  if (table !== 'workloads') return undefined;
  const record = (after ?? before)?.value as { node: string } | undefined;
  return record?.node;
}
