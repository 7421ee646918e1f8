import type { JsonObject } from '@eru/kit';
import type { ResourceKind } from './kind.ts';
import type { NodeResources, Resources } from './model.ts';
import { partOf, partsOf, withPart } from './parts.ts';

// What is booked on nodes, over all kinds. Exact: whatever was added and is subtracted again leaves no trace.

/** The node after workloads came and went. Kinds that none of them mentions are as before. */
export function book(
  kinds: readonly ResourceKind[],
  node: NodeResources,
  add: readonly Resources[],
  subtract: readonly Resources[],
): NodeResources {
  let usage = node.usage;
  for (const kind of kinds) {
    const { name } = kind;
    const [added, subtracted] = [partsOf(add, name), partsOf(subtract, name)];
    if (added.length + subtracted.length === 0) continue;
    usage = { ...usage, [name]: kind.book(usage[name] ?? {}, added, subtracted) };
  }
  return { capacity: node.capacity, usage };
}

/** What these workloads hold together, in the form of a usage. */
export function sum(kinds: readonly ResourceKind[], workloads: readonly Resources[]): Resources {
  const total: Record<string, JsonObject> = {};
  for (const kind of kinds) total[kind.name] = kind.book({}, partsOf(workloads, kind.name), []);
  return total;
}

export interface Diff {
  /** A line for people per mismatch, the original's texts; none when the usage is what the workloads hold. */
  readonly lines: string[];
  /** The node as it is when exactly these workloads are there. */
  readonly fixed: NodeResources;
}

/** Compares what is booked on a node with what its workloads hold. */
export function diff(kinds: readonly ResourceKind[], node: NodeResources, workloads: readonly Resources[]): Diff {
  const lines: string[] = [];
  let fixed = node;
  for (const kind of kinds) {
    const part = partOf(node, kind.name);
    const held = partsOf(workloads, kind.name);
    const found = kind.differences(part, held);
    if (found.length === 0) continue;
    lines.push(...found);
    fixed = withPart(fixed, kind.name, { ...part, usage: kind.recount(part, held) });
  }
  return { lines, fixed };
}

/** A booking that covers both, kind by kind: what a workload holds while it changes from one to the other. */
export function maxUsage(kinds: readonly ResourceKind[], a: Resources, b: Resources): Resources {
  const larger: Record<string, JsonObject> = { ...a, ...b };
  for (const kind of kinds) {
    const [left, right] = [a[kind.name], b[kind.name]];
    if (left !== undefined && right !== undefined) larger[kind.name] = kind.larger(left, right);
  }
  return larger;
}

/** Where usage exceeds capacity although the kind does not over-commit; none on a sound node. */
export function fits(kinds: readonly ResourceKind[], node: NodeResources): string[] {
  return kinds.flatMap((kind) => kind.overruns(partOf(node, kind.name)).map((line) => `${kind.name} ${line}`));
}
