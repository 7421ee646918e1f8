import type { Follower } from '../kind.ts';
import { countInSteps, eachInSteps, type Steps } from '../steps.ts';
import type { Contest } from './field.ts';
import type { Before } from './order.ts';
import { Ranking } from './ranking.ts';

interface Group {
  readonly ranking: Ranking;
  // As the follower said when it was last asked: of all groups only one may change its place at a time.
  room: number;
  preference: number;
}

interface Rules {
  readonly before: Before;
  /** Groups with less room are closed. */
  readonly least: number;
  /** Whether the node itself takes part. */
  readonly admitted: (position: number) => boolean;
  readonly groupOf: (position: number) => number;
}

/**
 * Who is next when a kind follows the plan: of the groups with room the one with the highest preference and then the best
 * node, of its nodes the best. A node that is placed on, a zone that closes, a node that changes its group: each is
 * O(log n), however many nodes there are.
 */
export class GroupContest implements Contest {
  readonly #rules: Rules;
  readonly #follower: Pick<Follower, 'groupRoom' | 'preference'>;
  readonly #groups: (Group | undefined)[] = [];
  /** By position: the group in whose ranking it may be. */
  readonly #groupOf: Int32Array;
  /** One for all groups, because a position is in one of them at most. */
  readonly #places: Int32Array;
  readonly #dropped = new Set<number>();
  /** The groups that are open and not empty. */
  readonly #top: Ranking;

  constructor(size: number, follower: Pick<Follower, 'groupRoom' | 'preference'>, rules: Rules) {
    this.#rules = rules;
    this.#follower = follower;
    this.#groupOf = new Int32Array(size);
    this.#places = new Int32Array(size).fill(-1);
    this.#top = new Ranking((a, b) => this.#groupBefore(a, b), new Int32Array(16).fill(-1));
  }

  *prepare(): Steps<void> {
    const { groupOf, admitted } = this.#rules;
    yield* countInSteps(this.#groupOf.length, (position) => {
      const group = groupOf(position);
      this.#groupOf[position] = group;
      if (admitted(position)) this.#ranking(group).put(position);
    });
    yield* eachInSteps(this.#groups.keys(), (group) => this.settleGroup(group));
  }

  get first(): number {
    const group = this.#top.first;
    return group < 0 ? -1 : (this.#groups[group] as Group).ranking.first;
  }

  drop(position: number): void {
    this.#dropped.add(position);
    this.settle(position);
  }

  /** The node is another now. */
  settle(position: number): void {
    const [before, now] = [this.#groupOf[position] as number, this.#rules.groupOf(position)];
    if (before !== now) {
      this.#ranking(before).remove(position);
      this.settleGroup(before);
      this.#groupOf[position] = now;
    }
    if (this.#rules.admitted(position) && !this.#dropped.has(position)) this.#ranking(now).put(position);
    else this.#ranking(now).remove(position);
    this.settleGroup(now);
  }

  /** The group has another room, another preference, or another first node. */
  settleGroup(number: number): void {
    const group = this.#groups[number];
    if (group === undefined) return;
    group.room = this.#follower.groupRoom(number);
    group.preference = this.#follower.preference(number);
    if (group.ranking.first >= 0 && group.room >= this.#rules.least) this.#top.put(number);
    else this.#top.remove(number);
  }

  #ranking(group: number): Ranking {
    const known = this.#groups[group];
    if (known !== undefined) return known.ranking;
    const ranking = new Ranking(this.#rules.before, this.#places);
    this.#groups[group] = { ranking, room: 0, preference: 0 };
    return ranking;
  }

  #groupBefore(a: number, b: number): boolean {
    const [left, right] = [this.#groups[a] as Group, this.#groups[b] as Group];
    if (left.preference !== right.preference) return left.preference > right.preference;
    return this.#rules.before(left.ranking.first, right.ranking.first);
  }
}
