import { EruError, stableStringify, type JsonObject } from '@eru/kit';
import { Fleet } from '../fleet/fleet.ts';
import type { ResourceKind } from '../kind.ts';
import type { CapacityResult, Choice, PlannedInstance, PlannedNode, Resources } from '../model.ts';
import type { Scheduler } from '../scheduler.ts';
import { complaint } from './document.ts';
import { countAlike } from './nodes.ts';
import type { StandaloneRequest } from './request.ts';

export interface StandaloneAnswer extends CapacityResult {
  /** Why there are no instances; empty when it fits. */
  readonly message: string;
  readonly instances: readonly PlannedInstance[];
  readonly choices: readonly Choice[];
}

/** The plan, how much fitted before it, and why not more. @throws EruError `invalid` */
export function planStandalone(
  scheduler: Scheduler,
  nodes: readonly PlannedNode[],
  request: StandaloneRequest,
): StandaloneAnswer {
  const unknown = scheduler.unknownKeys(request.resources);
  if (unknown.length > 0) {
    const kinds = scheduler.kinds.map(({ name }) => name).join(', ');
    throw new EruError('invalid', `resources: nothing reads ${unknown.join(', ')}; the resource kinds are ${kinds}`, {
      details: { field: 'resources', unknown },
    });
  }
  for (const kind of scheduler.kinds) refuseUnread(kind, request.resources);
  refuseTooMany(request, nodes.length);
  const fleet = new Fleet(scheduler);
  for (const node of nodes) fleet.set(node);
  const asked = { ...request, candidates: nodes.map(({ name }) => name), counts: countAlike(nodes, request.labels) };
  const plan = scheduler.plan(fleet, asked);
  const { capacity, refused } = scheduler.capacity(fleet, asked);
  if (!plan.ok) return { message: plan.message, instances: [], choices: [], capacity, refused };
  return { message: '', instances: plan.instances, choices: plan.choices, capacity, refused };
}

/**
 * On the wire a number that is none counts as 0; a person who wrote `10G` should hear of it. Such a text is read as 0 is, and
 * so is any other in its place, whereas a kind that understands texts tells them apart.
 */
function refuseUnread(kind: ResourceKind, resources: Resources): void {
  const raw = resources[kind.name] ?? {};
  for (const [key, value] of Object.entries(raw)) {
    if (typeof value !== 'string' || value.trim() === '' || Number.isFinite(Number(value))) continue;
    const [given, ...others] = [value, 0, `${value}?`].map((text) => outcome(kind, { ...raw, [key]: text }));
    if (others.some((other) => other !== given)) continue;
    throw complaint(`resources.${kind.name}.${key}`, value, 'write a number');
  }
}

function outcome(kind: ResourceKind, request: JsonObject): string {
  try {
    return stableStringify(kind.normal(kind.parse(request)));
  } catch (error) {
    return EruError.from(error).message;
  }
}

/** An answer lists every instance; core takes as many in one request. */
const instancesMost = 100_000;

function refuseTooMany({ count, strategy, nodesLimit }: StandaloneRequest, nodes: number): void {
  const perNode = strategy === 'FILL' || strategy === 'EACH';
  if (count * (perNode ? nodesLimit || nodes : 1) <= instancesMost) return;
  throw complaint('count', count, `the most in one request are ${instancesMost}${perNode ? ' on all nodes' : ''}`);
}

/** As JSON; a count that nothing bounds is null. */
export function answerDocument({ instances, capacity, refused }: StandaloneAnswer): JsonObject {
  return {
    instances: instances.map(({ node, resources, engineParams }) => ({ node, resources, engine_params: engineParams })),
    capacity: {
      total: bounded(capacity.total),
      nodes: Object.fromEntries(capacity.nodes.map(({ node, count }) => [node, bounded(count)])),
    },
    refused: refused.map(({ node, kind, reason, needed, free, unit }) => ({ node, kind, reason, needed, free, unit })),
  };
}

export function choiceDocument({ node, instances, count, capacity, usage, rate, preference }: Choice): JsonObject {
  return { node, instances, count, capacity: bounded(capacity), usage, rate, preference };
}

function bounded(count: number): number | null {
  return Number.isFinite(count) ? count : null;
}
