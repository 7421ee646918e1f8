import { assert, type JsonObject } from '@eru/kit';
import { parseDemand, type Demand } from './demand.ts';
import { OwnField } from './field/own-field.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { Allotment, ResourceKind } from './kind.ts';
import type {
  Allocation,
  CapacityRequest,
  CapacityResult,
  Choice,
  FailureIdentity,
  PlannedInstance,
  PlannedNode,
  PlanRequest,
  PlanResult,
  SpreadResult,
} from './model.ts';
import { list } from './refusals.ts';
import { snapshotOf, snapshotOfAll, type Snapshot } from './snapshot.ts';
import { atOnce, countInSteps, eachInSteps, type Steps } from './steps.ts';
import { ruleOf, type StrategyRule } from './strategies/rules.ts';
import type { Shortage, Spread } from './strategies/spread.ts';
import { followed, present, survey, type Survey } from './survey.ts';

/** From a request to instances on nodes: survey the candidates, let the strategy spread, allocate on the chosen. */
export function* plan(fleet: Fleet, request: PlanRequest): Steps<PlanResult> {
  const demand = parseDemand(fleet.kinds, request);
  const chosen = yield* choose(fleet, demand, request);
  if ('ok' in chosen) return chosen;
  const instances: PlannedInstance[] = [];
  const choices: Choice[] = [];
  const nodes: PlannedNode[] = [];
  for (const share of chosen.shares) {
    const choice = choiceOf(chosen, share);
    const states = chosen.snapshot.states(share.at);
    choices.push(choice);
    nodes.push(chosen.snapshot.node(share.at));
    yield* allocate(fleet.kinds, demand, choice, states, instances);
  }
  return { ok: true, instances, choices, nodes, followed: chosen.followed };
}

/** How many instances each node would get, and nothing about what they get there: also for millions. */
export function* spread(fleet: Fleet, request: PlanRequest): Steps<SpreadResult> {
  const chosen = yield* choose(fleet, parseDemand(fleet.kinds, request), request);
  if ('ok' in chosen) return chosen;
  const choices: Choice[] = [];
  yield* eachInSteps(chosen.shares, (share) => choices.push(choiceOf(chosen, share)));
  return { ok: true, choices };
}

/** How many fit on each candidate, and of those where none fits, why (the DUMMY strategy). */
export function* capacity(fleet: Fleet, request: CapacityRequest): Steps<CapacityResult> {
  const demand = parseDemand(fleet.kinds, request);
  return yield* list(fleet, yield* survey(fleet, demand, request));
}

/** More than that would hold everybody else up: then a field of its own is worth the copy. */
const takesAtOnce = 4096;

type Failure = Extract<PlanResult, { ok: false }>;

/** What the strategy has chosen, with what the kinds knew of the nodes then. */
interface Chosen {
  readonly snapshot: Snapshot;
  /** In name order. */
  readonly shares: readonly Share[];
  readonly followed: boolean;
}

interface Share {
  /** Where the node is in the snapshot. */
  readonly at: number;
  readonly instances: number;
  readonly preference: number;
}

function* choose(fleet: Fleet, demand: Demand, request: PlanRequest): Steps<Chosen | Failure> {
  const rule = ruleOf(request.strategy);
  if (rule === undefined) return failure('strategy', 'deploy method not support yet');
  const { count, candidates, counts } = request;
  if (!Number.isSafeInteger(count) || count <= 0) return failure('count', `count: ${count}: invalid deploy count`);

  const surveyed = yield* survey(fleet, demand, request, rule.order);
  const { selection, base } = surveyed;
  base.begin(counts, (node) => selection.positions[fleet.slotOf(node)] ?? -1);
  const chosen =
    surveyed.followers.length === 0 && rule.takes(request, base.open) <= takesAtOnce
      ? chooseAtOnce(fleet, surveyed, rule, request)
      : yield* chooseInSteps(fleet, surveyed, rule, request);
  if (!('identity' in chosen)) return chosen;
  const there = selection.arrivals === fleet.arrivals ? surveyed.candidates : present(fleet, candidates);
  return {
    ok: false,
    ...chosen,
    ...(yield* list(fleet, yield* survey(fleet, demand, { ...request, candidates: there }))),
  };
}

/** On the field that all plans share, which therefore is left as it was before anybody else has a turn. */
function chooseAtOnce(
  fleet: Fleet,
  surveyed: Survey,
  { spread }: StrategyRule,
  { count, nodesLimit }: PlanRequest,
): Chosen | Shortage {
  const { base } = surveyed;
  let shares: Spread;
  try {
    shares = atOnce(spread(base, count, nodesLimit));
  } finally {
    base.end();
  }
  if ('identity' in shares) return shares;
  const positions = Int32Array.from(shares.keys()).sort();
  const ofShares = shares;
  return {
    snapshot: snapshotOf(fleet, surveyed, positions),
    shares: Array.from(positions, (position, at) => ({
      at,
      instances: ofShares.get(position) as number,
      preference: 0,
    })),
    followed: false,
  };
}

/** On a field of its own. */
function* chooseInSteps(
  fleet: Fleet,
  surveyed: Survey,
  { spread }: StrategyRule,
  { count, nodesLimit }: PlanRequest,
): Steps<Chosen | Shortage> {
  const moving = followed(surveyed);
  const field = moving ?? new OwnField(surveyed.base);
  const snapshot = snapshotOfAll(fleet, surveyed);
  if (moving !== undefined) yield* moving.look();
  const spreading = yield* spread(field, count, nodesLimit);
  if ('identity' in spreading) return spreading;
  const shares: Share[] = [];
  yield* eachInSteps(Int32Array.from(spreading.keys()).sort(), (at) => {
    shares.push({ at, instances: spreading.get(at) as number, preference: field.preferenceWhenTaken(at) });
  });
  return { snapshot, shares, followed: moving !== undefined };
}

function failure(identity: FailureIdentity, message: string): Failure {
  return { ok: false, identity, message, capacity: { total: 0, nodes: [] }, refused: [] };
}

function choiceOf({ snapshot }: Chosen, { at, instances, preference }: Share): Choice {
  const { figures } = snapshot;
  return {
    node: snapshot.node(at).name,
    instances,
    count: figures.count[at] as number,
    capacity: figures.capacity[at] as number,
    usage: figures.usage[at] as number,
    rate: figures.rate[at] as number,
    preference,
  };
}

/** The only part that builds anything per instance, and only for the chosen nodes. */
function* allocate(
  kinds: readonly ResourceKind[],
  { requests }: Demand,
  { node, instances: count }: Choice,
  states: readonly unknown[],
  instances: PlannedInstance[],
): Steps<void> {
  const allotments: (readonly Allotment[])[] = [];
  for (const [index, kind] of kinds.entries()) {
    const allotted = kind.allocate(states[index], requests[index], count);
    assert(allotted.length === count, `${kind.name} promised ${count} on ${node} and allotted ${allotted.length}`);
    allotments.push(allotted);
    yield;
  }
  let before: PlannedInstance | undefined;
  yield* countInSteps(count, (instance) => {
    const same = before !== undefined && allotments.every((allotted) => allotted[instance] === allotted[instance - 1]);
    const planned = same
      ? (before as PlannedInstance)
      : {
          node,
          ...combine(
            kinds,
            allotments.map((allotted) => allotted[instance] as Allotment),
          ),
        };
    instances.push(planned);
    before = planned;
  });
}

/**
 * One workload's part of every kind, each under its kind's name; nothing is merged across kinds. A kind of which it has
 * nothing is left out: a record does not list what a workload does without.
 */
export function combine(kinds: readonly ResourceKind[], allotments: readonly Allotment[]): Allocation {
  const resources: Record<string, JsonObject> = {};
  const engineParams: Record<string, JsonObject> = {};
  for (const [index, kind] of kinds.entries()) {
    const allotment = allotments[index] as Allotment;
    if (Object.keys(allotment.resources).length === 0) continue;
    resources[kind.name] = allotment.resources;
    engineParams[kind.name] = allotment.engineParams;
  }
  return { resources, engineParams };
}
