import { assert } from '@eru/kit';
import type { Lack } from './kind.ts';
import type { CapacityResult, NodeCapacity, PlannedNode, Refusal } from './model.ts';
import type { Stage } from './stage.ts';
import type { Steps } from './steps.ts';

/** Reasons that are asked for between two steps. */
const questionsPerStep = 64;

/** A node that is refused: what its reason depends on. */
interface Refused {
  readonly node: string;
  /** Which kind, and what it knows of the node; or a reason that depends on the plan so far. */
  readonly by: number | { readonly kind: string; readonly lack: Lack };
  readonly state: unknown;
}

/** How many fit on each candidate, and where none does, the binding constraint: of several kinds that refuse, the first. */
export function* list(stage: Stage): Steps<CapacityResult> {
  const { fleet, selection, base, field } = stage;
  const nodes: NodeCapacity[] = [];
  const closed: Refused[] = [];
  let total = 0;
  for (let position = 0; position < field.size; position += 1) {
    const { name: node } = fleet.nodes[selection.slots[position] as number] as PlannedNode;
    const count = field.room(position);
    if (count < 1) closed.push(refused(stage, node, selection.slots[position] as number));
    else {
      nodes.push({ node, count });
      total += count;
    }
  }

  // Equal nodes have the same reason, and are asked about once.
  const lacks = base.answers.map(() => new Map<unknown, Lack>());
  const list: Refusal[] = [];
  let questions = 0;
  for (const { node, by, state } of closed) {
    if (typeof by !== 'number') {
      list.push({ node, kind: by.kind, ...by.lack });
      continue;
    }
    const { kind, request } = base.answers[by] as (typeof base.answers)[number];
    const known = lacks[by] as Map<unknown, Lack>;
    let lack = known.get(state);
    if (lack === undefined) {
      lack = kind.refuse(state, request);
      known.set(state, lack);
      questions += 1;
      if (questions % questionsPerStep === 0) yield;
    }
    list.push({ node, kind: kind.name, ...lack });
  }
  return { capacity: { total, nodes }, refused: list };
}

function refused({ fleet, base, followers }: Stage, node: string, slot: number): Refused {
  const by = base.answers.findIndex((answers) => (answers.counts[answers.about(slot)] as number) < 1);
  if (by >= 0) return { node, by, state: fleet.classes[by]?.stateOf(slot) };
  const refusing = followers.find(
    ({ follower }) => Math.min(follower.room(slot), follower.groupRoom(follower.group(slot))) < 1,
  );
  assert(refusing !== undefined, 'a node without room is refused by some kind');
  return { node, by: { kind: refusing.kind, lack: refusing.follower.refuse(slot) }, state: undefined };
}
