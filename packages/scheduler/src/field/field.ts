import type { Before } from './order.ts';

/**
 * The candidates of a plan as a strategy sees them: parallel arrays by position, positions in name order. A strategy
 * decides on these figures alone and knows neither nodes nor kinds.
 */
export type Field = StillField | MovingField;

/** Placing an instance on one node changes nothing for the others. Plans share it one after the other: it never stops at a step. */
export interface StillField extends Ground {
  readonly followed: false;
  /** Of the nodes with room when the plan began the first in this order, and perhaps others; in no order. */
  firsts(order: Order, limit: number): number[];
}

/** A kind follows the plan: placing an instance on one node may change the room on any other. It is of one plan alone. */
export interface MovingField extends Ground {
  readonly followed: true;
}

interface Ground extends Figures {
  readonly size: number;
  /** Nodes with room when the plan began. */
  readonly open: number;
  /** At most this many fit in all; may be `unlimited`. Exact when nothing moves. */
  readonly total: number;

  /** How many more may be put on this node at once, as the plan stands. */
  room(position: number): number;
  /** What kinds think of this node as the plan stands; 0 when they do not care. */
  preference(position: number): number;
  /** The same before the first instance was put on it. */
  preferenceWhenTaken(position: number): number;
  /** Puts `count` instances on a node; the steps that this takes are to be run before anything else is asked. */
  take(position: number, count: number): Iterable<undefined>;
  /**
   * The nodes with room for `least` that are eligible, one after the other, as the plan stands at each time. Eligibility may
   * change only of the node that is taken.
   */
  contest(order: Order, least: number, eligible?: (position: number) => boolean): Contest;
}

/** By position. */
export interface Figures {
  /** How many more fit on a node, as the plan stands. */
  readonly capacity: Float64Array;
  /** Workloads of the same app and entrypoint, those of the plan included. */
  readonly count: Float64Array;
  /** Used share of the node, the plan included. */
  readonly usage: Float64Array;
  /** Share that one more instance takes. */
  readonly rate: Float64Array;
  /** Settles what is equal in all the rest: the lower first, then the lower position. */
  readonly ties: Int32Array;
}

/** What a strategy looks at. One constant function for each: what is remembered of a field goes by it. */
export type Order = (figures: Figures) => Before;

export interface Contest {
  /** To be run before the first is asked for. */
  prepare(): Iterable<undefined>;
  /** The first one now, what kinds prefer before what the strategy looks at; -1 when there is none. */
  readonly first: number;
  /** Out for good. */
  drop(position: number): void;
}
