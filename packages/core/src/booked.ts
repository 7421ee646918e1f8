import type { Resources } from '@eru/scheduler';

import type { ClusterView } from './view.ts';

/** What records and slots that are not yet recorded hold on each node, as the view has it. */
export function bookedOnNodes(view: ClusterView): Map<string, Resources[]> {
  const booked = new Map<string, Resources[]>();
  const add = (node: string, resources: Resources): void => {
    const known = booked.get(node);
    if (known === undefined) booked.set(node, [resources]);
    else known.push(resources);
  };
  for (const [, { value }] of view.workloads) add(value.node, value.resources);
  for (const [key, { value }] of view.slots) {
    for (const slot of value.slots) if (!slot.recorded) add(key.split('/')[1] ?? '', slot.resources);
  }
  return booked;
}
