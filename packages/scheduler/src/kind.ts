import type { JsonObject } from '@eru/kit';
import type { Labels, MachineInfo, PlannedNode, Unit } from './model.ts';
import type { Steps } from './steps.ts';

/**
 * One dimension of scheduling: cores and memory, disks, devices, affinity, or whatever an external kind counts. A kind is
 * pure and knows only itself: everything about several kinds at once (minimum, mean, all or nothing) is the scheduler's.
 *
 * `Request` and `State` are the kind's own compiled forms: the request is parsed once per plan, the state once per change
 * of a node, so that `measure` runs over a fleet without reading JSON. Everything else works on the stored JSON.
 */
export interface ResourceKind<Request = unknown, State = unknown> {
  /** The key of this kind in every `Resources`. */
  readonly name: string;
  /** Keys that a workload request may have; the wire ignores others, a strict caller refuses them. */
  readonly requestKeys: readonly string[] | 'any';

  // Planning.

  /**
   * Reads, completes and checks a workload request; `{}` is "nothing asked". `asked` is what an external kind answered,
   * `labels` are those of the workload.
   * @throws EruError `invalid`, `unsupported`
   */
  parse(raw: JsonObject, asked?: unknown, labels?: Labels): Request;
  /**
   * The request in its normal form. Requests of equal text get the same answers from `measure` and `refuse`, and share what
   * is remembered of them; `allocate` and the census may tell them apart.
   */
  normal(request: Request): JsonObject;
  /** What planning needs to know of a node, compact. Also of a node that has no record of this kind. */
  state(node: PlannedNode): State;
  /**
   * States of equal text give equal answers to `measure`, `refuse` and `allocate`, whatever is asked. A fleet keeps one
   * state for all nodes of equal text and asks once for all of them; without this every node is asked on its own. Made at
   * every change of a node, and not kept.
   */
  fingerprint?(state: State): string;
  /** How many more of these fit, and the loads for strategies that level them. Writes every field of `measure`. */
  measure(state: State, request: Request, measure: Measure): void;
  /** Why not even one fits; asked only when `measure` said 0. */
  refuse(state: State, request: Request): Lack;
  /** What each of `count` instances gets, in order; `measure` has promised that they fit. */
  allocate(state: State, request: Request, count: number): readonly Allotment[];
  /** For a kind whose answer for one node depends on other nodes and on the plan so far (affinity); one for each fleet. */
  census?(): Census<Request>;

  // Workloads in place.

  /** New amounts = current + delta, on a node to which the current ones have been given back. `asked` as in `parse`. */
  realloc(state: State, current: JsonObject, delta: JsonObject, asked?: unknown): Allotment | Lack;
  /** New engine parameters of workloads (by id) whose share of the node follows what others hold; only the changed kind of workloads. */
  remap(node: KindNode, workloads: ReadonlyMap<string, JsonObject>, asked?: unknown): ReadonlyMap<string, JsonObject>;

  // Bookings: exact, stored form in, stored form out.

  /** Usage after workloads came and went. */
  book(usage: JsonObject, add: readonly JsonObject[], subtract: readonly JsonObject[]): JsonObject;
  /** Usage as it is when exactly these workloads are there. */
  recount(node: KindNode, workloads: readonly JsonObject[]): JsonObject;
  /** A line for people per mismatch between the stored usage and `recount`. */
  differences(node: KindNode, workloads: readonly JsonObject[]): string[];
  /** A booking that covers both, amount by amount. */
  larger(a: JsonObject, b: JsonObject): JsonObject;
  /** Where usage exceeds capacity although this kind does not over-commit. */
  overruns(node: KindNode): string[];

  // Nodes.

  /** A new node from the operator's request and what its machine has. @throws EruError `invalid` */
  addNode(request: JsonObject, info: MachineInfo): KindNode;
  /** `delta`: amounts are added (and may be negative), else they replace; what the request does not name stays. @throws EruError `invalid` */
  setCapacity(node: KindNode, request: JsonObject, delta: boolean): KindNode;
  readonly metricDescriptions: readonly MetricDescription[];
  metrics(pod: string, node: string, resources: KindNode): Metric[];
}

/** How a kind is made: the settings are one set for all kinds of a scheduler. */
export type KindDefinition = (settings: Settings) => ResourceKind;

export interface Settings {
  /** Pieces that make one whole core. */
  readonly shareBase: number;
  /** How many cores of a node may be broken into fragments; -1 = no limit. */
  readonly maxShare: number;
  /** Bound of a count that nothing else bounds, for kinds that must enumerate. */
  readonly maxDeployCount: number;
}

/** One kind's part of a node, in stored form. */
export interface KindNode {
  readonly capacity: JsonObject;
  readonly usage: JsonObject;
}

/** Reused by the caller for every node of a survey: nothing is allocated per node. */
export interface Measure {
  /** How many more fit; `unlimited` when this kind does not bound it. */
  count: number;
  /** Used share of the node, 0..1; may exceed 1. */
  usage: number;
  /** Share that one more instance takes. */
  rate: number;
  /** Importance of usage and rate in the mean over kinds. */
  weight: number;
}

export interface Lack {
  readonly reason: string;
  readonly needed: number;
  readonly free: number;
  readonly unit: Unit;
}

export interface Allotment {
  /** What is booked: the workload's resource in stored form (underscored keys). */
  readonly resources: JsonObject;
  readonly engineParams: JsonObject;
}

/**
 * What a kind knows of the whole fleet, kept up to date node by node, so that a plan looks only at what concerns it. Nodes
 * are meant by their slots: small integers that a node keeps while it is in the fleet.
 */
export interface Census<Request> {
  /** A node came or changed; `undefined`: it went. */
  set(slot: number, node: PlannedNode | undefined): void;
  /**
   * At the start of a plan. `undefined`: nothing stands in the way of this request, which keeps planning on the fast path.
   * Between the steps, and after them, nodes may change: what the follower says may be of before or of after, but it must
   * not say one thing now and another later.
   */
  follow(request: Request, candidates: Candidates): Steps<Follower | undefined>;
}

/** The nodes that a plan may use. */
export interface Candidates {
  readonly slots: Int32Array;
  has(slot: number): boolean;
}

/**
 * The plan so far, as one kind sees it. What many nodes have in common (the room that is left in their zone) is said once
 * for all of them, by group; groups are small integers from 0.
 */
export interface Follower {
  /** The group of a candidate, as the plan stands. */
  group(slot: number): number;
  /** How many more may be put anywhere in the group, one after the other. */
  groupRoom(group: number): number;
  /** Of the group's nodes. Higher is taken first, before whatever the strategy looks at. */
  preference(group: number): number;
  /** How many more may be put on this node, as far as it is not a matter of the group. */
  room(slot: number): number;
  /** Why the node or its group has no room. */
  refuse(slot: number): Lack;
  /** `count` instances are placed on a node, about which all is asked again. What else may have changed: */
  place(slot: number, count: number): FollowedChange;
}

export interface FollowedChange {
  /** Groups whose room or preference is another now. */
  readonly groups: Iterable<number>;
  /** Other nodes whose room or group is another now. */
  readonly slots: Iterable<number>;
}

export interface MetricDescription {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter';
  readonly labels: readonly string[];
}

export interface Metric {
  readonly name: string;
  /** Values, in the order of the description's labels. */
  readonly labels: readonly string[];
  /** The statsd key. */
  readonly key: string;
  readonly value: string;
}
