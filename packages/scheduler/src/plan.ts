import { assert, EruError, type JsonObject } from '@eru/kit';
import { parseDemand, type Demand } from './demand.ts';
import type { Fleet } from './fleet.ts';
import type { Allotment, FollowedNode, Follower, Measure, ResourceKind } from './kind.ts';
import type {
  Allocation,
  CapacityRequest,
  CapacityResult,
  FailureIdentity,
  Labels,
  NodeCapacity,
  PlannedInstance,
  PlannedNode,
  PlanRequest,
  PlanResult,
  Refusal,
} from './model.ts';
import { spreadRule } from './strategies/rules.ts';

/** From a request to instances on nodes: survey the candidates, let the strategy spread, allocate on the chosen. */
export function plan(fleet: Fleet, request: PlanRequest): PlanResult {
  const demand = parseDemand(fleet.kinds, request);
  const spread = spreadRule(request.strategy);
  if (spread === undefined) return failure('strategy', 'deploy method not support yet');
  const { count, nodesLimit } = request;
  if (!Number.isSafeInteger(count) || count <= 0) return failure('count', `count: ${count}: invalid deploy count`);

  lay(fleet, demand, request, request.counts);
  const shares = spread(fleet.field, count, nodesLimit);
  if ('identity' in shares) return { ok: false, ...shares, ...capacity(fleet, request) };
  return { ok: true, instances: allocate(fleet, demand, shares) };
}

/** How many fit on each candidate, and of those where none fits, why (the DUMMY strategy). */
export function capacity(fleet: Fleet, request: CapacityRequest): CapacityResult {
  const demand = parseDemand(fleet.kinds, request);
  const followers = lay(fleet, demand, request, noCounts);
  const { field } = fleet;
  const nodes: NodeCapacity[] = [];
  const refused: Refusal[] = [];
  let position = 0;
  for (const slot of fleet.select(request.candidates)) {
    const { name } = fleet.nodes[slot] as PlannedNode;
    const inField = position < field.size && field.slot[position] === slot;
    const count = inField ? (field.capacity[position] as number) : 0;
    if (count > 0) nodes.push({ node: name, count });
    else
      refused.push({
        node: name,
        ...(inField ? refusedByFollower(followers, position) : refusedByState(fleet, demand, slot)),
      });
    if (inField) position += 1;
  }
  return { capacity: { total: field.total, nodes }, refused };
}

const noCounts: ReadonlyMap<string, number> = new Map();

function failure(identity: FailureIdentity, message: string): PlanResult {
  return { ok: false, identity, message, capacity: { total: 0, nodes: [] }, refused: [] };
}

/** Lays the candidates with room out in the fleet's field. */
function lay(
  fleet: Fleet,
  demand: Demand,
  request: CapacityRequest,
  counts: ReadonlyMap<string, number>,
): NamedFollower[] {
  const slots = fleet.select(request.candidates);
  const survey = fleet.survey(demand);
  survey.refresh(slots);
  fleet.field.fill(slots, survey, fleet.countsBySlot(counts));
  const followers = follow(fleet, demand, request.labels ?? {});
  fleet.field.follow(followers.map(({ follower }) => follower));
  return followers;
}

interface NamedFollower {
  readonly kind: string;
  readonly follower: Follower;
}

function follow({ kinds, field, nodes, states }: Fleet, demand: Demand, labels: Labels): NamedFollower[] {
  return kinds.flatMap((kind, index) => {
    if (kind.follow === undefined) return [];
    const followed: FollowedNode<unknown>[] = Array.from(field.slot.subarray(0, field.size), (slot) => ({
      name: (nodes[slot] as PlannedNode).name,
      state: states[index]?.[slot],
    }));
    const follower = kind.follow(demand.requests[index], labels, followed);
    return follower === undefined ? [] : [{ kind: kind.name, follower }];
  });
}

/** The binding constraint: of several kinds that refuse, the first. */
function refusedByState({ kinds, states }: Fleet, { requests }: Demand, slot: number): Omit<Refusal, 'node'> {
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  for (const [index, kind] of kinds.entries()) {
    const state = states[index]?.[slot];
    kind.measure(state, requests[index], measure);
    if (measure.count < 1) return { kind: kind.name, ...kind.refuse(state, requests[index]) };
  }
  throw new EruError('internal', 'a node without room is refused by no kind');
}

function refusedByFollower(followers: readonly NamedFollower[], position: number): Omit<Refusal, 'node'> {
  for (const { kind, follower } of followers) {
    if (follower.room(position) < 1) return { kind, ...follower.refuse(position) };
  }
  throw new EruError('internal', 'a node without room is refused by no kind');
}

/** In name order; the only step that builds anything per instance, and only for the chosen nodes. */
function allocate(
  { kinds, field, nodes, states }: Fleet,
  { requests }: Demand,
  shares: ReadonlyMap<number, number>,
): PlannedInstance[] {
  const instances: PlannedInstance[] = [];
  for (const [position, count] of [...shares].sort(([a], [b]) => a - b)) {
    const slot = field.slot[position] as number;
    const node = (nodes[slot] as PlannedNode).name;
    const allotments = kinds.map((kind, index) => {
      const allotted = kind.allocate(states[index]?.[slot], requests[index], count);
      assert(allotted.length === count, `${kind.name} promised ${count} on ${node} and allotted ${allotted.length}`);
      return allotted;
    });
    for (let instance = 0; instance < count; instance += 1) {
      instances.push({
        node,
        ...combine(
          kinds,
          allotments.map((allotted) => allotted[instance] as Allotment),
        ),
      });
    }
  }
  return instances;
}

/** One workload's part of every kind, each under its kind's name; nothing is merged across kinds. */
export function combine(kinds: readonly ResourceKind[], allotments: readonly Allotment[]): Allocation {
  const resources: Record<string, JsonObject> = {};
  const engineParams: Record<string, JsonObject> = {};
  for (const [index, kind] of kinds.entries()) {
    const allotment = allotments[index] as Allotment;
    resources[kind.name] = allotment.resources;
    engineParams[kind.name] = allotment.engineParams;
  }
  return { resources, engineParams };
}
