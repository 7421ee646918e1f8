import { EruError, stableStringify } from '@eru/kit';
import { labelNames, limitsOf, type WorkloadState } from '@eru/engines';

import type { Context } from '../context.ts';
import { bookedByNode, snapshot } from '../invariants.ts';
import { keys } from '../state/keys.ts';
import { engineTypeAt } from '../nodes/machine.ts';
import { differs, paramsOf } from '../operations/remap.ts';
import { versioned, type NodeResourcesRecord, type Versioned, type WorkloadRecord } from '../state/records.ts';

/** One difference between engine, records, bookings and statuses of a node. */
export interface Finding {
  kind: 'orphan' | 'vanished' | 'returned' | 'limits' | 'usage' | 'external' | 'status' | 'release' | 'engine';
  node: string;
  /** Workload id, or the node's name for `usage`, `external` and `engine`. */
  object: string;
  recorded: string;
  found: string;
}

/** Equal in two looks: the same difference. Bookings change all the time; that they are wrong stays. */
export function sameFinding({ kind, object, recorded, found }: Finding): string {
  return JSON.stringify(kind === 'usage' || kind === 'external' ? [kind, object] : [kind, object, recorded, found]);
}

/**
 * Everything in which a node differs from what is known of it (docs/protocol.md, "Reconcile"). The engine is listed first, then
 * the store is read: what is made after the listing has its record or slot by then. What an operation claims is left to it,
 * and what does not carry our identity is not looked at.
 */
export async function lookAtNode(context: Context, node: string, signal: AbortSignal): Promise<Finding[]> {
  const { view } = context;
  const objects = await listed(context, node, signal);
  const byId = new Map(objects.map((object) => [object.id, object]));
  const findings: Finding[] = [];
  for (const object of objects) findings.push(...(await lookAtObject(context, node, object, signal)));
  for (const { id, name } of view.workloadsOn(node)) {
    if (!byId.has(id) && (await unclaimed(context, id, signal)) !== undefined)
      findings.push({ kind: 'vanished', node, object: id, recorded: name, found: 'nothing' });
  }
  for (const [id, { value }] of view.releases) {
    if (value.node === node && !byId.has(id))
      findings.push({ kind: 'release', node, object: id, recorded: value.name, found: 'nothing' });
  }
  return [...findings, ...lookAtUsage(context, node), ...(await lookAtEngine(context, node, signal))];
}

/** A machine may have got an engine that it had not when it was added. */
async function lookAtEngine(context: Context, node: string, signal: AbortSignal): Promise<Finding[]> {
  const recorded = context.view.nodes.get(node)?.value.engine;
  const found = await engineTypeAt(context, node, signal);
  if (recorded === undefined || found === undefined || found === recorded) return [];
  return [{ kind: 'engine', node, object: node, recorded, found }];
}

async function listed(context: Context, node: string, signal: AbortSignal): Promise<WorkloadState[]> {
  try {
    return await context.engineOf(node).list({ labels: { [labelNames.cluster]: clusterOf(context) }, signal });
  } catch (cause) {
    // It is the node that does not answer, not this core.
    const { code, message, details } = EruError.from(cause);
    throw new EruError(code, `the engine of node ${node}: ${message}`, { cause, details: { ...details, node } });
  }
}

async function lookAtObject(
  context: Context,
  node: string,
  object: WorkloadState,
  signal: AbortSignal,
): Promise<Finding[]> {
  const { view, store } = context;
  const record = view.workloads.get(object.id)?.value;
  if (record !== undefined) return lookAtRecorded(context, node, record, object);
  const operation = object.labels[labelNames.operation] ?? '';
  const known = await Promise.all(
    [keys.workload(object.id), keys.operation(operation), keys.release(object.id)].map((key) =>
      store.get(key, { signal }),
    ),
  );
  if (known.some((kv) => kv !== undefined)) return [];
  return [{ kind: 'orphan', node, object: object.id, recorded: 'nothing', found: object.name }];
}

function lookAtRecorded(context: Context, node: string, record: WorkloadRecord, object: WorkloadState): Finding[] {
  const { view } = context;
  // One engine may be the machine of two nodes.
  if (record.node !== node || view.claims.get(record.id) !== undefined) return [];
  const common = { node, object: record.id };
  if (record.vanishedAtMs !== undefined)
    return [{ ...common, kind: 'returned', recorded: 'vanished', found: object.state }];
  const findings: Finding[] = [];
  const wanted = limitsOf(paramsOf(context, node, record));
  if (differs(wanted, object)) {
    const [recorded, found] = [stableStringify(wanted), stableStringify(object.limits.requested)];
    findings.push({ ...common, kind: 'limits', recorded, found });
  }
  // That it runs and is healthy is for its agent to say.
  if (view.workloadStatuses.get(record.id)?.value.running === true && isOver(object))
    findings.push({ ...common, kind: 'status', recorded: 'running', found: object.state });
  return findings;
}

export function isOver({ state }: WorkloadState): boolean {
  return state === 'exited' || state === 'created';
}

function lookAtUsage({ view, scheduler }: Context, node: string): Finding[] {
  const resources = view.nodeResources.get(node)?.value;
  if (resources === undefined) return [];
  const { lines, fixed } = scheduler.diff(resources, view.booked(node).get(node) ?? []);
  if (lines.length === 0) return [];
  const [recorded, found] = [stableStringify(resources.usage), stableStringify(fixed.usage)];
  return [{ kind: 'usage', node, object: node, recorded, found }];
}

/** What is booked on a node, as it is and as it should be, at one revision of the store; undefined when that is the same. */
export async function wrongUsage(
  { store, scheduler }: Context,
  node: string,
): Promise<{ key: string; revision: number; value: NodeResourcesRecord } | undefined> {
  const all = await snapshot(store);
  const kv = all.kvs.get(keys.nodeResources(node));
  if (kv === undefined) return undefined;
  const { value } = versioned<NodeResourcesRecord>(kv);
  const { lines, fixed } = scheduler.diff(value, bookedByNode(all).get(node) ?? []);
  return lines.length === 0 ? undefined : { key: kv.key, revision: kv.modRevision, value: { ...value, ...fixed } };
}

/** The record as the store has it, when nobody claims it. */
export async function unclaimed(
  { store }: Context,
  id: string,
  signal: AbortSignal,
): Promise<Versioned<WorkloadRecord> | undefined> {
  const [record, claim] = await Promise.all([
    store.get(keys.workload(id), { signal }),
    store.get(keys.claim(id), { signal }),
  ]);
  return record === undefined || claim !== undefined ? undefined : versioned<WorkloadRecord>(record);
}

function clusterOf({ view }: Context): string {
  const cluster = view.cluster.get('')?.value.id;
  if (cluster === undefined) throw new EruError('internal', 'the cluster has no identity yet');
  return cluster;
}
