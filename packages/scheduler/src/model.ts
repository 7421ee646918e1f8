import type { JsonObject } from '@eru/kit';

/** Kind name -> that kind's JSON object, in the forms of reference/core-rpc.md section 6 (requests, capacities, bookings). */
export type Resources = Readonly<Record<string, JsonObject>>;

export type Labels = Readonly<Record<string, string>>;

/** What a node has and what is booked on it, in stored form. Never mutated: a booking makes a new value. */
export interface NodeResources {
  readonly capacity: Resources;
  readonly usage: Resources;
}

/** A node as the planner sees it. */
export interface PlannedNode {
  readonly name: string;
  readonly labels: Labels;
  readonly resources: NodeResources;
}

/** What an engine tells of its machine; the defaults of a node that is added without figures (bytes). */
export interface MachineInfo {
  readonly cpus: number;
  readonly memory: number;
  readonly storage: number;
  /** Kind name -> what the engine knows of it. */
  readonly resources: Resources;
}

/** Kind name -> what a kind that lives elsewhere answered ahead; the kind itself knows the shape (see `ExternalAnswer`). */
export type Asked = Readonly<Record<string, unknown>>;

export type Strategy = 'AUTO' | 'FILL' | 'EACH' | 'GLOBAL' | 'DRAINED' | 'DUMMY';

/** What one instance needs, and where it may go. */
export interface CapacityRequest {
  /** Kind name -> workload request as the user wrote it (dashed keys). */
  readonly resources: Resources;
  /**
   * Names of the candidates, in any order; one that the fleet lacks is the caller's error (`not_found`). Never changed once
   * given: the same array is recognised again, so a caller that keeps it pays for 50,000 names once.
   */
  readonly candidates: readonly string[];
  /** Labels of the workload to be placed (affinity). */
  readonly labels?: Labels;
  readonly asked?: Asked;
  /**
   * Which of several equally good nodes is chosen: by name when absent or empty, and with each seed in another order, which
   * depends on seed and names alone. Planners that work side by side with seeds of their own do not all want the same node.
   */
  readonly seed?: string;
}

export interface PlanRequest extends CapacityRequest {
  readonly strategy: Strategy;
  /** Meaning by strategy, reference/scheduling.md section 6. */
  readonly count: number;
  /** Meaning by strategy; 0 = none. */
  readonly nodesLimit: number;
  /** Existing and in-flight workloads of this app and entrypoint by node; absent = 0. `Counts` are read by their changes. */
  readonly counts: ReadonlyMap<string, number>;
}

/** What one instance gets of everything: what is booked for it and what its engine is told (both kind -> object). */
export interface Allocation {
  readonly resources: Resources;
  readonly engineParams: Resources;
}

/** One instance of a plan. Equal instances share their objects: treat them as frozen. */
export interface PlannedInstance extends Allocation {
  readonly node: string;
}

/** Why a node cannot take one more instance: the binding constraint and by how much it misses. */
export interface Refusal {
  readonly node: string;
  readonly kind: string;
  /** For people: `free memory`, `cores`. */
  readonly reason: string;
  readonly needed: number;
  readonly free: number;
  /** How to read the two numbers; `none`: the reason says it all, they are 1 and 0. */
  readonly unit: Unit;
}

export type Unit = 'bytes' | 'number' | 'none';

export interface NodeCapacity {
  readonly node: string;
  /** How many more such workloads fit; `unlimited` when nothing bounds it. */
  readonly count: number;
}

/** Stands for the wire's 2^63-1. Sums saturate at it. */
export const unlimited: number = Number.POSITIVE_INFINITY;

export interface PlanCapacity {
  readonly total: number;
  /** Only nodes with room, in name order. */
  readonly nodes: readonly NodeCapacity[];
}

/** The answer to "how many fit, and why not more": of CalculateCapacity, and of a plan that failed. */
export interface CapacityResult {
  readonly capacity: PlanCapacity;
  /** The candidates without room, in name order. */
  readonly refused: readonly Refusal[];
}

/** `resource`, `capacity` and `filled` are the original's error identities; `strategy` and `count` are bad input. */
export type FailureIdentity = 'resource' | 'capacity' | 'filled' | 'strategy' | 'count';

/** Why a node was chosen: the figures that the strategy compared, as they were before the plan. */
export interface Choice {
  readonly node: string;
  /** What it got. */
  readonly instances: number;
  /** Workloads of the same app and entrypoint. */
  readonly count: number;
  /** How many would have fitted; may be `unlimited`. */
  readonly capacity: number;
  /** Used share, and the share that each instance takes. */
  readonly usage: number;
  readonly rate: number;
  /** What kinds preferred, when the first instance was placed. */
  readonly preference: number;
}

/**
 * A plan, everything in node-name order, or why there is none. A success does not list the fleet: that would cost more than
 * the plan; who wants the list asks `capacity`.
 */
export type PlanResult =
  | {
      readonly ok: true;
      readonly instances: readonly PlannedInstance[];
      readonly choices: readonly Choice[];
      /** The chosen nodes as they were. Who books the plan later compares: a node that was `set` again is another object. */
      readonly nodes: readonly PlannedNode[];
      /** A kind looked at more than the chosen nodes: at where others of its app are, for one. */
      readonly followed: boolean;
    }
  | ({
      readonly ok: false;
      readonly identity: FailureIdentity;
      /** The original's text, such as `need: 5, available: 3: cannot alloc a plan, not enough resource`. */
      readonly message: string;
    } & CapacityResult);

/** A plan without its instances, or why there is none. */
export type SpreadResult =
  | { readonly ok: true; readonly choices: readonly Choice[] }
  | Extract<PlanResult, { readonly ok: false }>;

/** The new resources of a workload that changes in place, or why its node cannot give them. */
export type ReallocResult =
  | ({ readonly ok: true } & Allocation)
  | { readonly ok: false; readonly message: string; readonly refusal: Refusal };
