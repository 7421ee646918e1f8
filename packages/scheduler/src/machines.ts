import type { Metric, ResourceKind } from './kind.ts';
import type { MachineInfo, NodeResources, Resources } from './model.ts';
import { partOf, withPart } from './parts.ts';

// Nodes as operators see them, over all kinds.

const nothing: NodeResources = { capacity: {}, usage: {} };

/** A new node. Every kind makes its part, also where the request does not mention it. @throws EruError `invalid` */
export function addNode(
  kinds: readonly ResourceKind[],
  request: Resources | undefined,
  info: MachineInfo,
): NodeResources {
  return kinds.reduce(
    (node, kind) => withPart(node, kind.name, kind.addNode(request?.[kind.name] ?? {}, info)),
    nothing,
  );
}

/** A node with other capacities. Kinds that the request does not mention stay as they are. @throws EruError `invalid` */
export function setCapacity(
  kinds: readonly ResourceKind[],
  node: NodeResources,
  request: Resources,
  { delta }: { readonly delta: boolean },
): NodeResources {
  return kinds.reduce((changed, kind) => {
    const asked = request[kind.name];
    if (asked === undefined) return changed;
    return withPart(changed, kind.name, kind.setCapacity(partOf(changed, kind.name), asked, delta));
  }, node);
}

export function metrics(kinds: readonly ResourceKind[], pod: string, node: string, resources: NodeResources): Metric[] {
  return kinds.flatMap((kind) => kind.metrics(pod, node, partOf(resources, kind.name)));
}
