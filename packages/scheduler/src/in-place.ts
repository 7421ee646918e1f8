import type { JsonObject } from '@eru/kit';
import { book } from './bookkeeping.ts';
import type { Allotment, ResourceKind } from './kind.ts';
import type { Asked, NodeResources, PlannedNode, ReallocResult, Resources } from './model.ts';
import { partOf } from './parts.ts';
import { combine } from './plan.ts';

/**
 * New resources for one workload where it is: current amounts plus the request's, which may be negative. All kinds agree
 * or nothing changes. A kind that the request leaves out gets an empty delta. @throws EruError `invalid`, `unsupported`
 */
export function realloc(
  kinds: readonly ResourceKind[],
  node: PlannedNode,
  current: Resources,
  request: Resources,
  asked?: Asked,
): ReallocResult {
  const without = { ...node, resources: book(kinds, node.resources, [], [current]) };
  const allotments: Allotment[] = [];
  for (const kind of kinds) {
    const { name } = kind;
    const answer = kind.realloc(kind.state(without), current[name] ?? {}, request[name] ?? {}, asked?.[name]);
    if ('reason' in answer) {
      const refusal = { node: node.name, kind: name, ...answer };
      return { ok: false, message: 'cannot alloc a plan, not enough resource', refusal };
    }
    allotments.push(answer);
  }
  return { ok: true, ...combine(kinds, allotments) };
}

/**
 * New engine parameters for those workloads of a node (by id, all of them given) whose share follows what others hold.
 * Changes no booking; may be repeated.
 */
export function remap(
  kinds: readonly ResourceKind[],
  node: NodeResources,
  workloads: ReadonlyMap<string, Resources>,
  asked?: Asked,
): Map<string, Resources> {
  const changed = new Map<string, Record<string, JsonObject>>();
  for (const kind of kinds) {
    const parts = new Map([...workloads].map(([id, resources]) => [id, resources[kind.name] ?? {}]));
    for (const [id, params] of kind.remap(partOf(node, kind.name), parts, asked?.[kind.name])) {
      changed.set(id, { ...changed.get(id), [kind.name]: params });
    }
  }
  return changed;
}
