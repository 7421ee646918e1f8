import type { Resources } from '@eru/scheduler';

import type { OperationRecord, SlotsRecord, WorkloadRecord } from './records.ts';

/** What holds room on nodes: records, slots that are not recorded yet, and operations that hold something else for a record. */
export interface Holders {
  workloads: Iterable<WorkloadRecord>;
  /** With their nodes. */
  slots: Iterable<readonly [node: string, SlotsRecord]>;
  operations: Iterable<OperationRecord>;
}

/** What is booked on each node: the one sum that usage has to be. */
export function bookedOn({ workloads, slots, operations }: Holders): Map<string, Resources[]> {
  const held = new Map<string, Resources>();
  for (const operation of operations) {
    if (!('held' in operation)) continue;
    for (const [id, resources] of Object.entries(operation.held ?? {})) held.set(id, resources);
  }
  const booked = new Map<string, Resources[]>();
  const add = (node: string, resources: Resources): void => {
    const known = booked.get(node);
    if (known === undefined) booked.set(node, [resources]);
    else known.push(resources);
  };
  for (const { id, node, resources } of workloads) add(node, held.get(id) ?? resources);
  for (const [node, { slots: all }] of slots) {
    for (const slot of all) if (!slot.recorded) add(node, slot.resources);
  }
  return booked;
}
