import type { Figures } from './field/field.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { PlannedNode } from './model.ts';
import type { Survey } from './survey.ts';

/** What was known of some nodes of a survey at one moment; they are meant by their place in the list that was asked for. */
export interface Snapshot {
  readonly figures: Omit<Figures, 'ties'>;
  node(at: number): PlannedNode;
  /** By kind. */
  states(at: number): readonly unknown[];
}

/** Of these positions. */
export function snapshotOf(fleet: Fleet, { selection, base }: Survey, positions: Int32Array): Snapshot {
  const figures = (of: Float64Array): Float64Array =>
    Float64Array.from(positions, (position) => of[position] as number);
  const slots = Array.from(positions, (position) => selection.slots[position] as number);
  const nodes = slots.map((slot) => fleet.nodes[slot] as PlannedNode);
  const states = slots.map((slot) => fleet.classes.map((classes) => classes.stateOf(slot)));
  return {
    figures: {
      capacity: figures(base.capacity),
      count: figures(base.count),
      usage: figures(base.usage),
      rate: figures(base.rate),
    },
    node: (at) => nodes[at] as PlannedNode,
    states: (at) => states[at] as readonly unknown[],
  };
}

/** Of all positions. One step, also on a large fleet: so whole arrays are copied, which is next to nothing. */
export function snapshotOfAll(fleet: Fleet, { selection: { slots }, base }: Survey): Snapshot {
  const nodes = fleet.nodes.slice();
  const kinds = fleet.classes.map(({ ofSlot, states }) => ({ ofSlot: ofSlot.slice(), states: states.slice() }));
  return {
    figures: {
      capacity: base.capacity.slice(),
      count: base.count.slice(),
      usage: base.usage.slice(),
      rate: base.rate.slice(),
    },
    node: (at) => nodes[slots[at] as number] as PlannedNode,
    states: (at) => kinds.map(({ ofSlot, states }) => states[ofSlot[slots[at] as number] as number]),
  };
}
