import { EruError, type JsonObject } from '@eru/kit';
import { Fleet } from '../fleet.ts';
import type { CapacityResult, Choice, PlannedInstance, PlannedNode } from '../model.ts';
import type { Scheduler } from '../scheduler.ts';
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
  const fleet = new Fleet(scheduler);
  for (const node of nodes) fleet.set(node);
  const asked = { ...request, candidates: nodes.map(({ name }) => name), counts: countAlike(nodes, request.labels) };
  const plan = scheduler.plan(fleet, asked);
  const { capacity, refused } = scheduler.capacity(fleet, asked);
  if (!plan.ok) return { message: plan.message, instances: [], choices: [], capacity, refused };
  return { message: '', instances: plan.instances, choices: plan.choices, capacity, refused };
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
