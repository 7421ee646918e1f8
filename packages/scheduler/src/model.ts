import type { JsonObject } from '@eru/kit';

/** Kind name -> that kind's JSON object, in the forms of reference/core-rpc.md section 6 (requests, capacities, bookings). */
export type Resources = Readonly<Record<string, JsonObject>>;

/** What a node has and what is booked on it, in stored form. Never mutated: a booking makes a new value. */
export interface NodeResources {
  readonly capacity: Resources;
  readonly usage: Resources;
}

/** A node as the planner sees it. `labels` and `workloads` are for kinds that look at them (affinity). */
export interface PlannedNode {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
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

export type Strategy = 'AUTO' | 'FILL' | 'EACH' | 'GLOBAL' | 'DRAINED' | 'DUMMY';

export interface PlanRequest {
  /** Kind name -> workload request as the user wrote it (dashed keys). */
  readonly resources: Resources;
  readonly strategy: Strategy;
  /** Meaning by strategy, reference/scheduling.md section 6. */
  readonly count: number;
  /** 0 = none. */
  readonly nodesLimit: number;
  /** Names of the candidates; unknown names are the caller's error. */
  readonly candidates: readonly string[];
  /** Existing and in-flight workloads of this app and entrypoint by node; absent = 0. */
  readonly counts: ReadonlyMap<string, number>;
  /** Labels of the workload to be placed (affinity). */
  readonly labels?: Readonly<Record<string, string>>;
}

/** One instance of a plan: where, what is booked, what the engine gets (both kind -> object). */
export interface PlannedInstance {
  readonly node: string;
  readonly resources: Resources;
  readonly engineParams: Resources;
}

/** Why a node cannot take one more instance: the binding constraint and by how much it misses. */
export interface Refusal {
  readonly node: string;
  readonly kind: string;
  /** For people: `free memory`, `cores`. */
  readonly reason: string;
  readonly needed: number;
  readonly free: number;
}

export interface NodeCapacity {
  readonly node: string;
  /** How many more such workloads fit; 2^63-1 (as `unlimited`) when nothing bounds it. */
  readonly count: number;
}

/** Stands for the wire's 2^63-1. Sums saturate at it. */
export const unlimited: number = Number.POSITIVE_INFINITY;

export type PlanResult =
  | { readonly ok: true; readonly instances: readonly PlannedInstance[]; readonly capacity: PlanCapacity; readonly refused: readonly Refusal[] }
  | {
      readonly ok: false;
      /** `insufficient resource`, `insufficient capacity`, `already filled` and `strategy` are the original's identities. */
      readonly identity: 'resource' | 'capacity' | 'filled' | 'strategy' | 'count';
      /** The original's text, such as `need: 5, available: 3: cannot alloc a plan, not enough resource`. */
      readonly message: string;
      readonly capacity: PlanCapacity;
      readonly refused: readonly Refusal[];
    };

export interface PlanCapacity {
  readonly total: number;
  /** Only nodes with room, in name order. */
  readonly nodes: readonly NodeCapacity[];
}
