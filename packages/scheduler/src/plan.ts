import { assert, type JsonObject } from '@eru/kit';
import { parseDemand, type Demand } from './demand.ts';
import type { Field } from './field.ts';
import type { Fleet, Selection } from './fleet.ts';
import type { Allotment, Candidates, Follower, Lack, Measure, ResourceKind } from './kind.ts';
import type {
  Allocation,
  CapacityRequest,
  CapacityResult,
  FailureIdentity,
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

  const stage = setStage(fleet, demand, request, request.counts);
  const shares = spread(stage.field, count, nodesLimit);
  if ('identity' in shares) return { ok: false, ...shares, ...capacity(fleet, request) };
  return { ok: true, instances: allocate(stage, shares) };
}

/** How many fit on each candidate, and of those where none fits, why (the DUMMY strategy). */
export function capacity(fleet: Fleet, request: CapacityRequest): CapacityResult {
  const stage = setStage(fleet, parseDemand(fleet.kinds, request), request, noCounts);
  const nodes: NodeCapacity[] = [];
  const refused: Refusal[] = [];
  let total = 0;
  for (let position = 0; position < stage.field.size; position += 1) {
    const count = stage.field.capacity[position] as number;
    if (count < 1) {
      refused.push(refusal(stage, position));
      continue;
    }
    nodes.push({ node: nodeAt(stage, position).name, count });
    total += count;
  }
  return { capacity: { total, nodes }, refused };
}

const noCounts: ReadonlyMap<string, number> = new Map();

function failure(identity: FailureIdentity, message: string): PlanResult {
  return { ok: false, identity, message, capacity: { total: 0, nodes: [] }, refused: [] };
}

/** Everything one plan works on; positions are those of the field. */
interface Stage {
  readonly fleet: Fleet;
  readonly demand: Demand;
  readonly slots: Int32Array;
  readonly field: Field;
  readonly followers: readonly NamedFollower[];
}

interface NamedFollower {
  readonly kind: string;
  readonly follower: Follower;
}

function setStage(fleet: Fleet, demand: Demand, request: CapacityRequest, counts: ReadonlyMap<string, number>): Stage {
  const selection = fleet.select(request.candidates);
  const field = fleet.field(selection, demand, counts);
  const followers = follow(fleet, demand, selection);
  field.follow(followers.map(({ follower }) => follower));
  return { fleet, demand, slots: selection.slots, field, followers };
}

function follow({ kinds, censuses }: Fleet, demand: Demand, { slots, positions }: Selection): NamedFollower[] {
  const candidates: Candidates = { slots, has: (slot) => (positions[slot] ?? -1) >= 0 };
  return kinds.flatMap(({ name }, index) => {
    const follower = censuses[index]?.follow(demand.requests[index], candidates);
    return follower === undefined ? [] : [{ kind: name, follower }];
  });
}

function nodeAt({ fleet, slots }: Stage, position: number): PlannedNode {
  return fleet.nodes[slots[position] as number] as PlannedNode;
}

/** The binding constraint: of several kinds that refuse, the first. */
function refusal(stage: Stage, position: number): Refusal {
  const { fleet, demand, slots, followers } = stage;
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  const slot = slots[position] as number;
  for (let index = 0; index < fleet.kinds.length; index += 1) {
    const kind = fleet.kinds[index] as ResourceKind;
    const state = fleet.classes[index]?.stateOf(slot);
    kind.measure(state, demand.requests[index], measure);
    if (measure.count < 1) return refusalOf(stage, position, kind.name, kind.refuse(state, demand.requests[index]));
  }
  const refusing = followers.find(
    ({ follower }) => Math.min(follower.room(slot), follower.groupRoom(follower.group(slot))) < 1,
  );
  assert(refusing !== undefined, 'a node without room is refused by some kind');
  return refusalOf(stage, position, refusing.kind, refusing.follower.refuse(slot));
}

function refusalOf(stage: Stage, position: number, kind: string, { reason, needed, free, unit }: Lack): Refusal {
  return { node: nodeAt(stage, position).name, kind, reason, needed, free, unit };
}

/** In name order; the only step that builds anything per instance, and only for the chosen nodes. */
function allocate(stage: Stage, shares: ReadonlyMap<number, number>): PlannedInstance[] {
  const { kinds, classes } = stage.fleet;
  const { requests } = stage.demand;
  const instances: PlannedInstance[] = [];
  for (const [position, count] of [...shares].sort(([a], [b]) => a - b)) {
    const slot = stage.slots[position] as number;
    const node = nodeAt(stage, position).name;
    const allotments = kinds.map((kind, index) => {
      const allotted = kind.allocate(classes[index]?.stateOf(slot), requests[index], count);
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
