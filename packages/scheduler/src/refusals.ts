import { assert } from '@eru/kit';
import type { Fleet } from './fleet/fleet.ts';
import type { Lack } from './kind.ts';
import type { CapacityResult, NodeCapacity, Refusal } from './model.ts';
import { snapshotOfAll } from './snapshot.ts';
import { countInSteps, type Steps } from './steps.ts';
import { followed, type Survey } from './survey.ts';

/** Reasons that are asked for between two steps. */
const questionsPerStep = 16;

/** How many fit on each candidate, and where none does, the binding constraint: of several kinds that refuse, the first. */
export function* list(fleet: Fleet, surveyed: Survey): Steps<CapacityResult> {
  const { base, selection } = surveyed;
  const snapshot = snapshotOfAll(fleet, surveyed);
  const refusing = refusingKinds(surveyed);
  const field = followed(surveyed);
  if (field !== undefined) yield* field.look();

  const roomy: NodeCapacity[] = [];
  const closed: number[] = [];
  let total = 0;
  yield* countInSteps(base.size, (position) => {
    const count = field?.room(position) ?? (snapshot.figures.capacity[position] as number);
    if (count < 1) closed.push(position);
    else {
      roomy.push({ node: snapshot.node(position).name, count });
      total += count;
    }
  });

  // Equal nodes have the same reason, and are asked about once.
  const lacks = base.answers.map(() => new Map<unknown, Lack>());
  const refused: Refusal[] = [];
  let questions = 0;
  for (const position of closed) {
    const { name: node } = snapshot.node(position);
    const by = refusing[position] as number;
    if (by < 0) {
      refused.push({ node, ...refusedByFollower(surveyed, selection.slots[position] as number) });
      questions += 1;
    } else {
      const { kind, request } = base.answers[by] as (typeof base.answers)[number];
      const known = lacks[by] as Map<unknown, Lack>;
      const state = snapshot.states(position)[by];
      let lack = known.get(state);
      if (lack === undefined) {
        lack = kind.refuse(state, request);
        known.set(state, lack);
        questions += 1;
      }
      refused.push({ node, kind: kind.name, ...lack });
    }
    if (questions >= questionsPerStep || refused.length % 1024 === 0) {
      questions = 0;
      yield;
    }
  }
  return { capacity: { total, nodes: roomy }, refused };
}

/** By position: which kind says that there is no room on the node as it is; -1 = none. */
function refusingKinds({ base, selection }: Survey): Int8Array {
  return new Int8Array(base.size).map((_, position) => {
    if ((base.capacity[position] as number) >= 1) return -1;
    const slot = selection.slots[position] as number;
    return base.answers.findIndex((answers) => (answers.counts[answers.about(slot)] as number) < 1);
  });
}

function refusedByFollower({ followers }: Survey, slot: number): { readonly kind: string } & Lack {
  const refusing = followers.find(
    ({ follower }) => Math.min(follower.room(slot), follower.groupRoom(follower.group(slot))) < 1,
  );
  assert(refusing !== undefined, 'a node without room is refused by some kind');
  return { kind: refusing.kind, ...refusing.follower.refuse(slot) };
}
