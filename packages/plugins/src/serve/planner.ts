import { EruError, type JsonObject } from '@eru/kit';
import {
  createScheduler,
  Fleet,
  type Allotment,
  type KindDefinition,
  type KindNode,
  type Measure,
  type PlannedNode,
  type ResourceKind,
  type Settings,
} from '@eru/scheduler';

/** The questions of which a kind's answer is a decision; everything else is bookkeeping. */
export interface Planner {
  /** Nodes without room may be left out. */
  capacity(nodes: ReadonlyMap<string, KindNode>, request: JsonObject): Promise<ReadonlyMap<string, Measure>>;
  /** @throws EruError `no_capacity` */
  deploy(name: string, node: KindNode, request: JsonObject, count: number): Promise<readonly Allotment[]>;
  /** `node` still holds the current amounts. @throws EruError `no_capacity` */
  realloc(name: string, node: KindNode, current: JsonObject, request: JsonObject): Promise<Allotment>;
}

/** A kind as a plugin: what decides, and what counts. */
export interface ServedKind {
  readonly kind: ResourceKind;
  readonly planner: Planner;
}

/** A kind of the scheduler, alone in a scheduler of its own. */
export function servedKind(definition: KindDefinition, settings: Partial<Settings> = {}): ServedKind {
  const scheduler = createScheduler({ ...settings, kinds: [definition] });
  const [kind] = scheduler.kinds as [ResourceKind];
  const { name } = kind;
  const fleetOf = (nodes: Iterable<PlannedNode>): Fleet => {
    const fleet = new Fleet(scheduler);
    for (const node of nodes) fleet.set(node);
    return fleet;
  };
  const planned = (node: string, { capacity, usage }: KindNode): PlannedNode => ({
    name: node,
    labels: {},
    resources: { capacity: { [name]: capacity }, usage: { [name]: usage } },
  });

  return {
    kind,
    planner: {
      async capacity(nodes, request) {
        const fleet = fleetOf([...nodes].map(([node, part]) => planned(node, part)));
        const { capacity } = scheduler.capacity(fleet, {
          resources: { [name]: request },
          candidates: [...nodes.keys()],
        });
        const parsed = kind.parse(request);
        return new Map(
          capacity.nodes.map(({ node, count }) => {
            const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
            kind.measure(kind.state(planned(node, nodes.get(node) as KindNode)), parsed, measure);
            return [node, { ...measure, count }];
          }),
        );
      },

      async deploy(node, part, request, count) {
        const plan = scheduler.plan(fleetOf([planned(node, part)]), {
          resources: { [name]: request },
          candidates: [node],
          strategy: 'DRAINED',
          count,
          nodesLimit: 0,
          counts: new Map(),
        });
        if (!plan.ok) throw new EruError('no_capacity', plan.message);
        return plan.instances.map(({ resources, engineParams }) => ({
          resources: resources[name] ?? {},
          engineParams: engineParams[name] ?? {},
        }));
      },

      async realloc(node, part, current, request) {
        const result = scheduler.realloc(planned(node, part), { [name]: current }, { [name]: request });
        if (!result.ok) {
          const { reason, needed, free } = result.refusal;
          throw new EruError('no_capacity', `${reason} ${free} < ${needed}: ${result.message}`);
        }
        return { resources: result.resources[name] ?? {}, engineParams: result.engineParams[name] ?? {} };
      },
    },
  };
}
