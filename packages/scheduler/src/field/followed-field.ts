import type { Follower } from '../kind.ts';
import { round9 } from '../lenient.ts';
import { countInSteps, eachInSteps, type Steps } from '../steps.ts';
import type { Contest, MovingField, Order } from './field.ts';
import { GroupContest } from './group-contest.ts';
import type { SurveyedField } from './surveyed-field.ts';

/**
 * A field on which a kind looks at the plan so far. Its figures are its own, for one plan. Groups are not looked through
 * node by node: closing a zone is one step, however many nodes are in it.
 */
export class FollowedField implements MovingField {
  readonly size: number;
  readonly capacity: Float64Array;
  readonly count: Float64Array;
  readonly usage: Float64Array;
  readonly rate: Float64Array;
  readonly ties: Int32Array;
  readonly followed = true;
  open = 0;
  readonly total: number;

  /** By position: how many fitted when the plan began, whatever follows it; and what has been placed since. */
  readonly #room: Float64Array;
  readonly #placed: Float64Array;
  readonly #slots: Int32Array;
  readonly #positions: Int32Array;
  readonly #follower: Follower;
  /** Of the nodes that were taken: what the kind thought of them before that. */
  readonly #preferred = new Map<number, number>();
  #contest: GroupContest | undefined;

  constructor(
    base: SurveyedField,
    { slots, positions }: { readonly slots: Int32Array; readonly positions: Int32Array },
    follower: Follower,
  ) {
    this.#slots = slots;
    this.#positions = positions;
    this.#follower = follower;
    this.size = base.size;
    this.#room = base.capacity.slice();
    this.capacity = base.capacity.slice();
    this.#placed = new Float64Array(this.size);
    this.count = base.count.slice();
    this.usage = base.usage.slice();
    this.rate = base.rate.slice();
    this.ties = base.ties;
    this.total = base.total;
  }

  /** To be run before anything else. The base and the nodes may change meanwhile, and afterwards. */
  *look(): Steps<void> {
    yield* countInSteps(this.size, (position) => {
      this.#see(position);
      if (this.room(position) >= 1) this.open += 1;
    });
  }

  room(position: number): number {
    const capacity = this.capacity[position] as number;
    return capacity < 1 ? capacity : Math.min(capacity, this.#follower.groupRoom(this.#group(position)));
  }

  preference(position: number): number {
    return this.#follower.preference(this.#group(position));
  }

  preferenceWhenTaken(position: number): number {
    return this.#preferred.get(position) ?? 0;
  }

  *take(position: number, count: number): Steps<void> {
    if (!this.#preferred.has(position)) this.#preferred.set(position, this.preference(position));
    this.count[position] = (this.count[position] as number) + count;
    this.#placed[position] = (this.#placed[position] as number) + count;
    this.usage[position] = round9((this.usage[position] as number) + count * (this.rate[position] as number));
    const { groups, slots } = this.#follower.place(this.#slots[position] as number, count);
    this.#settle(position);
    yield* eachInSteps(slots, (slot) => {
      const other = this.#positions[slot] ?? -1;
      if (other >= 0) this.#settle(other);
    });
    yield* eachInSteps(groups, (group) => this.#contest?.settleGroup(group));
    yield;
  }

  contest(order: Order, least: number, eligible: (position: number) => boolean = () => true): Contest {
    this.#contest = new GroupContest(this.size, this.#follower, {
      before: order(this),
      least,
      admitted: (position) => (this.capacity[position] as number) >= least && eligible(position),
      groupOf: (position) => this.#group(position),
    });
    return this.#contest;
  }

  #settle(position: number): void {
    this.#see(position);
    this.#contest?.settle(position);
  }

  #see(position: number): void {
    const free = (this.#room[position] as number) - (this.#placed[position] as number);
    this.capacity[position] = free < 1 ? free : Math.min(free, this.#follower.room(this.#slots[position] as number));
  }

  #group(position: number): number {
    return this.#follower.group(this.#slots[position] as number);
  }
}
