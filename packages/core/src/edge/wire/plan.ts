import type { eru, MessageInitShape } from '@eru/contract';
import { unlimited, type CapacityResult, type PlanResult } from '@eru/scheduler';

import type { Slot } from '../../state/records.ts';
import { resourcesText } from './resources-json.ts';

type PlanMessage = MessageInitShape<typeof eru.PlanResultSchema>;

const most = 2n ** 63n - 1n;

/** A count of the planner, which has no bound, as the wire's 64 bits. */
export function count64(count: number): bigint {
  return count === unlimited ? most : BigInt(count);
}

/** A node that a request may not use, and why. */
export interface LeftOut {
  node: string;
  reason: string;
}

/** With `listed` (how many fit on each candidate, and why none does) more is told of a plan that fits. */
export function planMessage(plan: PlanResult, leftOut: readonly LeftOut[] = [], listed?: CapacityResult): PlanMessage {
  if (!plan.ok) return { ok: false, message: plan.message, ...listing(plan, leftOut) };
  return {
    ok: true,
    instances: plan.instances.map(({ node, resources, engineParams }) => ({
      node,
      resources: resourcesText(resources),
      engineParams: resourcesText(engineParams),
    })),
    ...(listed === undefined ? { total: BigInt(plan.instances.length) } : listing(listed, leftOut)),
    choices: plan.choices.map(({ instances, count, capacity, ...choice }) => ({
      ...choice,
      instances: BigInt(instances),
      count: BigInt(count),
      capacity: count64(capacity),
    })),
  };
}

function listing({ capacity, refused }: CapacityResult, leftOut: readonly LeftOut[]) {
  return {
    total: count64(capacity.total),
    capacities: Object.fromEntries(capacity.nodes.map(({ node, count }) => [node, count64(count)])),
    refused: [
      ...refused.map(({ node, kind, reason, needed, free, unit }) => ({ node, kind, reason, needed, free, unit })),
      ...leftOut.map(asRefusal),
    ],
  };
}

/** A plan whose instances have got their names. */
export function placedMessage(slots: readonly { node: string; slot: Slot }[], operation: string): PlanMessage {
  return {
    ok: true,
    operation,
    instances: slots.map(({ node, slot }) => ({
      node,
      name: slot.name,
      resources: resourcesText(slot.resources),
      engineParams: resourcesText(slot.engineParams),
    })),
    total: BigInt(slots.length),
  };
}

/** No node may be used at all; each says why. */
export function noCandidatesMessage(message: string, leftOut: readonly LeftOut[]): PlanMessage {
  return { ok: false, message, refused: leftOut.map(asRefusal) };
}

function asRefusal({ node, reason }: LeftOut): MessageInitShape<typeof eru.RefusalSchema> {
  return { node, kind: 'node', reason };
}
