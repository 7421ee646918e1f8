import { assert, type JsonObject } from '@eru/kit';
import { parseDemand, type Demand } from './demand.ts';
import type { Fleet } from './fleet.ts';
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
import { setStage, survey, type Stage } from './stage.ts';
import type { Steps } from './steps.ts';
import { spreadRule } from './strategies/rules.ts';
import type { Spread, SpreadRule } from './strategies/spread.ts';

/** From a request to instances on nodes: survey the candidates, let the strategy spread, allocate on the chosen. */
export function* plan(fleet: Fleet, request: PlanRequest): Steps<PlanResult> {
  const demand = parseDemand(fleet.kinds, request);
  const chosen = yield* choose(fleet, demand, request);
  if ('ok' in chosen) return chosen;
  const instances: PlannedInstance[] = [];
  for (const each of chosen) {
    allocate(fleet.kinds, demand, each, instances);
    yield;
  }
  return {
    ok: true,
    instances,
    choices: chosen.map(({ choice }) => choice),
    nodes: chosen.map(({ node }) => node),
    followed: chosen.some(({ followed }) => followed),
  };
}

/** How many instances each node would get, and nothing about what they get there: also for millions. */
export function* spread(fleet: Fleet, request: PlanRequest): Steps<SpreadResult> {
  const chosen = yield* choose(fleet, parseDemand(fleet.kinds, request), request);
  return 'ok' in chosen ? chosen : { ok: true, choices: chosen.map(({ choice }) => choice) };
}

/** How many fit on each candidate, and of those where none fits, why (the DUMMY strategy). */
export function* capacity(fleet: Fleet, request: CapacityRequest): Steps<CapacityResult> {
  const demand = parseDemand(fleet.kinds, request);
  const surveyed = yield* survey(fleet, demand, request.candidates);
  return yield* list(setStage(fleet, demand, surveyed));
}

function spreadOn({ field, base }: Stage, rule: SpreadRule, { count, nodesLimit }: PlanRequest): Spread {
  try {
    return rule(field, count, nodesLimit);
  } finally {
    base.end();
  }
}

type Failure = Extract<PlanResult, { ok: false }>;

/** A node that the strategy chose, with what the kinds know of it. */
interface Chosen {
  readonly choice: Choice;
  readonly node: PlannedNode;
  /** By kind. */
  readonly states: readonly unknown[];
  readonly followed: boolean;
}

/** In name order. */
function* choose(fleet: Fleet, demand: Demand, request: PlanRequest): Steps<Chosen[] | Failure> {
  const rule = spreadRule(request.strategy);
  if (rule === undefined) return failure('strategy', 'deploy method not support yet');
  const { count } = request;
  if (!Number.isSafeInteger(count) || count <= 0) return failure('count', `count: ${count}: invalid deploy count`);

  const surveyed = yield* survey(fleet, demand, request.candidates);
  const stage = setStage(fleet, demand, surveyed, request.counts);
  const shares = spreadOn(stage, rule, request);
  if ('identity' in shares) return { ok: false, ...shares, ...(yield* list(setStage(fleet, demand, surveyed))) };
  return [...shares].sort(([a], [b]) => a - b).map(([position, share]) => explained(stage, position, share));
}

function failure(identity: FailureIdentity, message: string): Failure {
  return { ok: false, identity, message, capacity: { total: 0, nodes: [] }, refused: [] };
}

function explained({ fleet, selection, base, field }: Stage, position: number, instances: number): Chosen {
  const slot = selection.slots[position] as number;
  const node = fleet.nodes[slot] as PlannedNode;
  return {
    node,
    followed: field.followed,
    states: fleet.classes.map((classes) => classes.stateOf(slot)),
    choice: {
      node: node.name,
      instances,
      count: base.count[position] as number,
      capacity: base.capacity[position] as number,
      usage: base.usage[position] as number,
      rate: base.rate[position] as number,
      preference: field.preferenceWhenTaken(position),
    },
  };
}

/** The only step that builds anything per instance, and only for the chosen nodes. */
function allocate(
  kinds: readonly ResourceKind[],
  { requests }: Demand,
  { choice: { node, instances: count }, states }: Chosen,
  instances: PlannedInstance[],
): void {
  const allotments = kinds.map((kind, index) => {
    const allotted = kind.allocate(states[index], requests[index], count);
    assert(allotted.length === count, `${kind.name} promised ${count} on ${node} and allotted ${allotted.length}`);
    return allotted;
  });
  let before: PlannedInstance | undefined;
  for (let instance = 0; instance < count; instance += 1) {
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
  }
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
