import type { Demand } from './demand.ts';
import type { Field } from './field.ts';
import type { Fleet, Selection } from './fleet.ts';
import { FollowedField } from './followed-field.ts';
import type { Follower } from './kind.ts';
import type { Steps } from './steps.ts';
import type { SurveyedField } from './surveyed-field.ts';
import { together } from './together.ts';

// Between two steps the fleet may change. What a plan is made on is taken in one step, after the survey, and all that
// follows works on that.

export interface Survey {
  readonly selection: Selection;
  readonly base: SurveyedField;
}

/** Asks the kinds about every candidate that they have not answered for yet. */
export function* survey(fleet: Fleet, demand: Demand, candidates: readonly string[]): Steps<Survey> {
  let selection = fleet.select(candidates);
  for (;;) {
    const base = fleet.field(selection, demand);
    yield* base.refresh();
    if (selection.arrivals === fleet.arrivals) return { selection, base };
    // Nodes came or went between the steps; those that went are no candidates any more.
    selection = fleet.select(candidates.filter((name) => fleet.slotOf(name) >= 0));
  }
}

/** Everything one plan works on; positions are those of the field. */
export interface Stage extends Survey {
  readonly fleet: Fleet;
  readonly field: Field;
  readonly followers: readonly NamedFollower[];
}

interface NamedFollower {
  readonly kind: string;
  readonly follower: Follower;
}

export function setStage(
  fleet: Fleet,
  demand: Demand,
  { selection, base }: Survey,
  counts?: ReadonlyMap<string, number>,
): Stage {
  // How many fit does not depend on what runs: without counts those of the last plan stay.
  if (counts !== undefined) base.begin(counts, (node) => selection.positions[fleet.slotOf(node)] ?? -1);
  const followers = fleet.kinds.flatMap(({ name }, index): NamedFollower[] => {
    const follower = fleet.censuses[index]?.follow(demand.requests[index], selection);
    return follower === undefined ? [] : [{ kind: name, follower }];
  });
  const [first, ...others] = followers.map(({ follower }) => follower);
  const field = first === undefined ? base : new FollowedField(base, selection, others.reduce(together, first));
  return { fleet, selection, base, field, followers };
}
