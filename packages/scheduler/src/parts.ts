import type { JsonObject } from '@eru/kit';
import type { KindNode } from './kind.ts';
import type { NodeResources, Resources } from './model.ts';

/** One kind's part of a node. */
export function partOf(node: NodeResources, kind: string): KindNode {
  return { capacity: node.capacity[kind] ?? {}, usage: node.usage[kind] ?? {} };
}

export function withPart(node: NodeResources, kind: string, part: KindNode): NodeResources {
  return {
    capacity: { ...node.capacity, [kind]: part.capacity },
    usage: { ...node.usage, [kind]: part.usage },
  };
}

/** What each workload holds of one kind; those without any are left out. */
export function partsOf(workloads: readonly Resources[], kind: string): JsonObject[] {
  return workloads.map((resources) => resources[kind]).filter((part) => part !== undefined);
}
