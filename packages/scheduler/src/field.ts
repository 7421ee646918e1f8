import type { Follower } from './kind.ts';
import { grown, type Survey } from './survey.ts';

/**
 * The nodes with room, as a strategy sees them: parallel arrays by position, positions in name order. A strategy decides
 * on these figures alone and knows neither nodes nor kinds. The arrays are longer than `size` and reused by the next plan.
 */
export class Field {
  size = 0;
  /** How many more fit, over all nodes; may be `unlimited`. */
  total = 0;
  slot = new Float64Array(0);
  /** How many more fit on this node, as the plan stands. */
  capacity = new Float64Array(0);
  /** Workloads of the same app and entrypoint, those of the plan included. */
  count = new Float64Array(0);
  /** Used share of the node, the plan included, and what one more takes. */
  usage = new Float64Array(0);
  rate = new Float64Array(0);
  #followers: readonly Follower[] = [];
  /** Capacity before the followers had their say; only with followers. */
  #fitting = new Float64Array(0);

  /** Takes the nodes with room out of a survey. `counts` is by slot. */
  fill(slots: Int32Array, survey: Survey, counts: Float64Array): void {
    this.#reserve(slots.length);
    this.#followers = [];
    let [size, total] = [0, 0];
    for (let index = 0; index < slots.length; index += 1) {
      const slot = slots[index] as number;
      const capacity = survey.count[slot] as number;
      if (capacity < 1) continue;
      this.slot[size] = slot;
      this.capacity[size] = capacity;
      this.count[size] = counts[slot] as number;
      this.usage[size] = survey.usage[slot] as number;
      this.rate[size] = survey.rate[slot] as number;
      total += capacity;
      size += 1;
    }
    this.size = size;
    this.total = total;
  }

  /** Whether placing an instance on one node may change the room on another. */
  get followed(): boolean {
    return this.#followers.length > 0;
  }

  follow(followers: readonly Follower[]): void {
    if (followers.length === 0) return;
    this.#followers = followers;
    this.#fitting = this.capacity.slice(0, this.size);
    this.total = 0;
    for (let position = 0; position < this.size; position += 1) {
      this.#ask(position);
      this.total += this.capacity[position] as number;
    }
  }

  /** The sum of what the kinds prefer; 0 without such kinds. */
  preference(position: number): number {
    return this.#followers.reduce((sum, follower) => sum + (follower.preference?.(position) ?? 0), 0);
  }

  /** Puts `count` instances on a node. */
  take(position: number, count: number): void {
    this.count[position] = (this.count[position] as number) + count;
    this.usage[position] = (this.usage[position] as number) + count * (this.rate[position] as number);
    this.capacity[position] = (this.capacity[position] as number) - count;
    if (this.#followers.length === 0) return;
    this.#fitting[position] = (this.#fitting[position] as number) - count;
    for (const follower of this.#followers) {
      const changed = follower.place(position, count);
      if (changed === 'all') for (let other = 0; other < this.size; other += 1) this.#ask(other);
      else for (const other of changed) this.#ask(other);
    }
  }

  #ask(position: number): void {
    let room = this.#fitting[position] as number;
    for (const follower of this.#followers) room = Math.min(room, follower.room(position));
    this.capacity[position] = room;
  }

  #reserve(size: number): void {
    if (size <= this.slot.length) return;
    this.slot = grown(this.slot, size);
    this.capacity = grown(this.capacity, size);
    this.count = grown(this.count, size);
    this.usage = grown(this.usage, size);
    this.rate = grown(this.rate, size);
  }
}
