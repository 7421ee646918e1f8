import type { Follower, Measure, ResourceKind } from './kind.ts';
import { unlimited } from './model.ts';

/** What a field reads of its fleet. Slots are small integers that a node keeps while it is in the fleet. */
export interface Surveyed {
  readonly kinds: readonly ResourceKind[];
  /** By kind. */
  readonly classes: readonly { stateOf(slot: number): unknown }[];
  /** By slot: grows with every change of the node, never 0. */
  readonly versions: Float64Array;
}

/**
 * The candidates of a plan as a strategy sees them: parallel arrays by position, positions in name order. A strategy
 * decides on these figures alone and knows neither nodes nor kinds.
 *
 * The answers of the kinds are combined here, and remembered with the version of the node that they were given for: the
 * next plan of the same request compares a version per node, and asks only for nodes that changed.
 */
export class Field {
  /** By position. */
  readonly slots: Int32Array;
  readonly size: number;
  /** How many more fit on a node, as the plan stands. */
  readonly capacity: Float64Array;
  /** Workloads of the same app and entrypoint, those of the plan included. */
  readonly count: Float64Array;
  /** Used share of the node, the plan included. */
  readonly usage: Float64Array;
  /** Share that one more instance takes. */
  readonly rate: Float64Array;
  /** Nodes with room when the plan began. */
  open = 0;
  /** At most this many fit in all; may be `unlimited`. Exact unless followed: then each instance may make room for others. */
  total = 0;

  readonly #fleet: Surveyed;
  #requests: readonly unknown[];
  readonly #measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  /** The answers of the kinds to the fleet as it is, before the plan, and the versions they are for. */
  readonly #versions: Float64Array;
  readonly #fitting: Float64Array;
  readonly #used: Float64Array;
  #followers: readonly Follower[] = [];
  /** What the plan has put on each node; kept only for the followers. */
  #placed = new Float64Array(0);

  constructor(fleet: Surveyed, slots: Int32Array, requests: readonly unknown[]) {
    this.#fleet = fleet;
    this.slots = slots;
    this.#requests = requests;
    this.size = slots.length;
    this.capacity = new Float64Array(this.size);
    this.count = new Float64Array(this.size);
    this.usage = new Float64Array(this.size);
    this.rate = new Float64Array(this.size);
    this.#versions = new Float64Array(this.size);
    this.#fitting = new Float64Array(this.size);
    this.#used = new Float64Array(this.size);
  }

  /** Another request on the same candidates: megabytes of arrays are used again, not left to the garbage collector. */
  retarget(requests: readonly unknown[]): this {
    this.#requests = requests;
    this.#versions.fill(0);
    return this;
  }

  /** A new plan: the fleet as it is now. `counts` gives what runs already; a position of -1 is not in the field. */
  begin(counts: ReadonlyMap<string, number>, positionOf: (node: string) => number): void {
    this.#refresh();
    this.#followers = [];
    this.capacity.set(this.#fitting);
    this.usage.set(this.#used);
    this.count.fill(0);
    for (const [node, count] of counts) {
      const position = positionOf(node);
      if (position >= 0) this.count[position] = count;
    }
    this.#tally();
  }

  /** Lets kinds that look at the plan so far have their say, from here on. */
  follow(followers: readonly Follower[]): void {
    if (followers.length === 0) return;
    this.#followers = followers;
    this.#placed = new Float64Array(this.size);
    for (let position = 0; position < this.size; position += 1) this.#follow(position);
    this.#tally();
  }

  /** Whether placing an instance on one node may change the room on another. */
  get followed(): boolean {
    return this.#followers.length > 0;
  }

  /** The sum of what the kinds prefer; 0 without such kinds. */
  preference(position: number): number {
    const slot = this.slots[position] as number;
    return this.#followers.reduce((sum, follower) => sum + follower.preference(follower.group(slot)), 0);
  }

  /** Puts `count` instances on a node. */
  take(position: number, count: number): void {
    this.count[position] = (this.count[position] as number) + count;
    this.usage[position] = (this.usage[position] as number) + count * (this.rate[position] as number);
    this.capacity[position] = (this.capacity[position] as number) - count;
    if (this.#followers.length > 0) this.#tell(position, count);
  }

  #tell(taken: number, count: number): void {
    this.#placed[taken] = (this.#placed[taken] as number) + count;
    for (const follower of this.#followers) follower.place(this.slots[taken] as number, count);
    for (let position = 0; position < this.size; position += 1) this.#follow(position);
  }

  #follow(position: number): void {
    let room = (this.#fitting[position] as number) - (this.#placed[position] as number);
    const slot = this.slots[position] as number;
    for (const follower of this.#followers)
      room = Math.min(room, follower.room(slot), follower.groupRoom(follower.group(slot)));
    this.capacity[position] = room;
  }

  #tally(): void {
    let open = 0;
    let total = 0;
    for (const capacity of this.capacity) {
      if (capacity >= 1) open += 1;
      total += capacity;
    }
    this.open = open;
    if (!this.followed) this.total = total;
  }

  #refresh(): void {
    const { versions } = this.#fleet;
    const [slots, answered] = [this.slots, this.#versions];
    for (let position = 0; position < slots.length; position += 1) {
      const slot = slots[position] as number;
      const version = versions[slot] as number;
      if (answered[position] === version) continue;
      this.#ask(position, slot);
      answered[position] = version;
    }
  }

  /** Capacity is the minimum over kinds; usage and rate are the mean, each kind by its weight (section 1.4). */
  #ask(position: number, slot: number): void {
    const measure = this.#measure;
    let count = unlimited;
    let usage = 0;
    let rate = 0;
    let weight = 0;
    for (let kind = 0; kind < this.#requests.length; kind += 1) {
      this.#fleet.kinds[kind]?.measure(this.#fleet.classes[kind]?.stateOf(slot), this.#requests[kind], measure);
      count = Math.min(count, measure.count);
      usage += measure.weight * measure.usage;
      rate += measure.weight * measure.rate;
      weight += measure.weight;
    }
    this.#fitting[position] = count;
    this.#used[position] = weight > 0 ? usage / weight : 0;
    this.rate[position] = weight > 0 ? rate / weight : 0;
  }
}
