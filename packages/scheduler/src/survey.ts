import type { Demand } from './demand.ts';
import type { Order } from './field/field.ts';
import { FollowedField } from './field/followed-field.ts';
import type { SurveyedField } from './field/surveyed-field.ts';
import { together } from './field/together.ts';
import type { Fleet, Selection } from './fleet/fleet.ts';
import type { Follower } from './kind.ts';
import type { CapacityRequest } from './model.ts';
import type { Steps } from './steps.ts';

// Between two steps the fleet may change. What a plan is made on is taken in one step, after the survey, and all that
// follows works on that.

export interface Survey {
  /** Those of them that were in the fleet. */
  readonly candidates: readonly string[];
  readonly selection: Selection;
  readonly base: SurveyedField;
  readonly followers: readonly NamedFollower[];
}

export interface NamedFollower {
  readonly kind: string;
  readonly follower: Follower;
}

/**
 * Asks the kinds about every candidate that they have not answered for yet, and puts the candidates into this order, if
 * nobody follows the plan: then the order is the plan's own.
 */
export function* survey(
  fleet: Fleet,
  demand: Demand,
  { candidates, seed = '' }: Pick<CapacityRequest, 'candidates' | 'seed'>,
  order?: Order,
): Steps<Survey> {
  let wanted = candidates;
  for (;;) {
    const selection = yield* fleet.select(wanted);
    if (selection !== undefined) {
      const base = fleet.field(selection, demand, seed);
      yield* base.refresh();
      const followers = yield* follow(fleet, demand, selection);
      yield* followers.length === 0 && order !== undefined ? base.prepare(order) : base.refresh();
      if (selection.arrivals === fleet.arrivals) return { candidates: wanted, selection, base, followers };
    }
    // Nodes came or went between the steps; those that went are no candidates any more.
    wanted = present(fleet, candidates);
  }
}

export function present(fleet: Fleet, names: readonly string[]): string[] {
  return names.filter((name) => fleet.slotOf(name) >= 0);
}

function* follow(fleet: Fleet, { requests }: Demand, selection: Selection): Steps<NamedFollower[]> {
  const followers: NamedFollower[] = [];
  for (const [index, { name }] of fleet.kinds.entries()) {
    const census = fleet.censuses[index];
    const follower = census === undefined ? undefined : yield* census.follow(requests[index], selection);
    if (follower !== undefined) followers.push({ kind: name, follower });
  }
  return followers;
}

/** A field of this plan alone, to be looked at before use; `undefined` where nobody follows it. */
export function followed({ selection, base, followers }: Survey): FollowedField | undefined {
  const [first, ...others] = followers.map(({ follower }) => follower);
  return first && new FollowedField(base, selection, others.reduce(together, first));
}
