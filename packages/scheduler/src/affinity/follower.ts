import { assert } from '@eru/kit';
import type { FollowedChange, Follower, Lack } from '../kind.ts';
import { unlimited } from '../model.ts';
import type { Constraint, Effect } from './constraints.ts';
import { node } from './request.ts';
import type { Preference } from './preferences.ts';
import type { Topology } from './topology.ts';

/** Nodes in the same domains, that are liked the same for themselves. */
interface Group {
  /** By number of the topology. */
  readonly domains: readonly number[];
  readonly points: number;
}

interface InDomain<Rule> {
  readonly rule: Rule;
  /** Number of its topology. */
  readonly at: number;
}

/**
 * The rules of one plan. What is a matter of zones and racks goes by groups of nodes; what is a matter of the node alone by
 * node, and where that is a preference, the node changes its group.
 */
export class AffinityFollower implements Follower {
  readonly #slots: Int32Array;
  readonly #nodePoints: (slot: number) => number;
  /** Those that are not the node itself. */
  readonly #topologies: Topology[] = [];
  readonly #ofNode: readonly Constraint[];
  readonly #ofGroup: readonly InDomain<Constraint>[];
  readonly #likedOfNode: readonly Preference[];
  readonly #likedOfGroup: readonly InDomain<Preference>[];

  readonly #groups: Group[] = [];
  /** By slot; -1 = not asked yet, or another now. */
  readonly #groupOf: Int32Array;
  /** What groups are made of, part after part, and the group at the end; see `#intern`. */
  readonly #interned = new Map<number, number>();
  readonly #byPath = new Map<number, number>();
  /** By number of the topology: domain -> groups in it. */
  readonly #inDomain: Map<number, number[]>[] = [];

  constructor(
    slots: Int32Array,
    constraints: readonly Constraint[],
    preferences: readonly Preference[],
    nodePoints: (slot: number) => number,
  ) {
    this.#slots = slots;
    this.#groupOf = new Int32Array(slots.reduce((most, slot) => Math.max(most, slot), 0) + 1).fill(-1);
    this.#nodePoints = nodePoints;
    this.#ofNode = constraints.filter(isOfNode);
    this.#likedOfNode = preferences.filter(isOfNode);
    this.#ofGroup = this.#numbered(constraints);
    this.#likedOfGroup = this.#numbered(preferences);
  }

  group(slot: number): number {
    const known = this.#groupOf[slot] as number;
    if (known >= 0) return known;
    let points = this.#nodePoints(slot);
    for (const preference of this.#likedOfNode) points += preference.points(slot);
    let path = this.#intern(0, points);
    for (const topology of this.#topologies) path = this.#intern(path, topology.domain(slot));
    const group = this.#groupAt(path, slot, points);
    this.#groupOf[slot] = group;
    return group;
  }

  groupRoom(group: number): number {
    const { domains } = this.#groups[group] as Group;
    let room = unlimited;
    for (const { rule, at } of this.#ofGroup) room = Math.min(room, rule.room(domains[at] as number));
    return room;
  }

  preference(group: number): number {
    const { domains, points } = this.#groups[group] as Group;
    let sum = points;
    for (const { rule, at } of this.#likedOfGroup) sum += rule.points(domains[at] as number);
    return sum;
  }

  room(slot: number): number {
    let room = unlimited;
    for (const constraint of this.#ofNode) room = Math.min(room, constraint.room(slot));
    return room;
  }

  refuse(slot: number): Lack {
    for (const constraint of this.#ofNode) if (constraint.room(slot) < 1) return constraint.lack(slot);
    const { domains } = this.#groups[this.group(slot)] as Group;
    const binding = this.#ofGroup.find(({ rule, at }) => rule.room(domains[at] as number) < 1);
    assert(binding !== undefined, 'a node without room is refused by some rule');
    return binding.rule.lack(domains[binding.at] as number);
  }

  place(slot: number, count: number): FollowedChange {
    const { domains } = this.#groups[this.group(slot)] as Group;
    const groups = new Set<number>();
    let [allGroups, allSlots] = [false, false];
    for (const { rule, at } of [...this.#ofGroup, ...this.#likedOfGroup]) {
      const domain = domains[at] as number;
      const effect = rule.place(domain, count);
      if (effect === 'all') allGroups = true;
      if (effect === 'mine') for (const group of this.#inDomain[at]?.get(domain) ?? []) groups.add(group);
    }
    for (const constraint of this.#ofNode) if (constraint.place(slot, count) === 'all') allSlots = true;
    for (const preference of this.#likedOfNode) {
      const effect: Effect = preference.place(slot, count);
      if (effect === 'mine') this.#groupOf[slot] = -1;
      if (effect === 'all') {
        this.#groupOf.fill(-1);
        allSlots = true;
      }
    }
    return { groups: allGroups ? this.#groups.keys() : groups, slots: allSlots ? this.#slots : [] };
  }

  #numbered<Rule extends Constraint | Preference>(rules: readonly Rule[]): InDomain<Rule>[] {
    return rules
      .filter((rule) => !isOfNode(rule))
      .map((rule) => {
        const known = this.#topologies.findIndex(({ name }) => name === rule.topology.name);
        if (known >= 0) return { rule, at: known };
        this.#inDomain.push(new Map());
        return { rule, at: this.#topologies.push(rule.topology) - 1 };
      });
  }

  /** A number for the path so far and its next part; both are small, so that a pair is one number, too. */
  #intern(path: number, part: number): number {
    const key = path * 2 ** 24 + part + 2 ** 23;
    const known = this.#interned.get(key);
    if (known !== undefined) return known;
    const made = this.#interned.size + 1;
    this.#interned.set(key, made);
    return made;
  }

  #groupAt(path: number, slot: number, points: number): number {
    const known = this.#byPath.get(path);
    if (known !== undefined) return known;
    const domains = this.#topologies.map((topology) => topology.domain(slot));
    const made = this.#groups.push({ domains, points }) - 1;
    this.#byPath.set(path, made);
    for (const [at, domain] of domains.entries()) {
      const inDomain = this.#inDomain[at] as Map<number, number[]>;
      const groups = inDomain.get(domain);
      if (groups === undefined) inDomain.set(domain, [made]);
      else groups.push(made);
    }
    return made;
  }
}

function isOfNode({ topology }: { readonly topology: Topology }): boolean {
  return topology.name === node;
}
