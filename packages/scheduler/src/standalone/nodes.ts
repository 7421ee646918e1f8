import { EruError, isJsonObject, type Json, type JsonObject } from '@eru/kit';
import { alike } from '../affinity/labels.ts';
import { readKin, readUsage } from '../affinity/booking.ts';
import type { ResourceKind } from '../kind.ts';
import type { Labels, PlannedNode, Resources } from '../model.ts';
import { partOf, partsOf, withPart } from '../parts.ts';
import { complaint, labelsAt, objectAt, onlyKeys, resourcesAt, textAt } from './document.ts';

/**
 * The nodes of a document: a list of `{name, labels, capacity, usage, workloads}`, capacity and usage in the stored form of
 * each kind, workloads as what each holds (kind -> booking), or `{labels, resources}`. What `usage` does not say of a kind is
 * the sum of the workloads. Kinds that the scheduler does not have are left out. @throws EruError `invalid`, with the place in the
 * document, the value and the remedy
 */
export function readNodes(kinds: readonly ResourceKind[], document: Json): PlannedNode[] {
  if (!Array.isArray(document)) throw complaint('nodes', document, 'write a list of nodes');
  const names = new Set<string>();
  return document.map((value, index) => {
    const where = `[${index}]`;
    const node = objectAt(value, where, 'a node such as {"name": "n1", "capacity": {"cpumem": {}}}');
    onlyKeys(node, where, ['name', 'labels', 'capacity', 'usage', 'workloads']);
    const name = textAt(node['name'], `${where}.name`, 'the name of the node');
    if (names.has(name)) throw complaint(`${where}.name`, name, 'give each node a name of its own');
    names.add(name);
    return readNode(kinds, node, name, where);
  });
}

/** Workloads of the same app and entrypoint by node, as far as the labels tell. */
export function countAlike(nodes: readonly PlannedNode[], labels: Labels): Map<string, number> {
  const counts = new Map<string, number>();
  if (labels['app'] === undefined) return counts;
  for (const { name, resources } of nodes) {
    for (const [text, count] of readUsage(resources.usage['affinity'] ?? {})) {
      if (alike(readKin(JSON.parse(text) as JsonObject).labels, labels))
        counts.set(name, (counts.get(name) ?? 0) + count);
    }
  }
  return counts;
}

function readNode(kinds: readonly ResourceKind[], node: JsonObject, name: string, where: string): PlannedNode {
  const given = {
    capacity: resourcesAt(node['capacity'], `${where}.capacity`),
    usage: resourcesAt(node['usage'], `${where}.usage`),
  };
  const workloads = readWorkloads(node['workloads'] ?? [], `${where}.workloads`);
  let resources = { capacity: {}, usage: {} } as PlannedNode['resources'];
  for (const kind of kinds) {
    let part = partOf(given, kind.name);
    if (given.usage[kind.name] === undefined)
      part = { ...part, usage: kind.recount(part, partsOf(workloads, kind.name)) };
    if (given.capacity[kind.name] !== undefined) check(kind, part, given.usage[kind.name] !== undefined, where);
    resources = withPart(resources, kind.name, part);
  }
  return { name, labels: labelsAt(node['labels'], `${where}.labels`), resources };
}

function readWorkloads(value: Json, where: string): Resources[] {
  if (!Array.isArray(value)) throw complaint(where, value, 'write a list of workloads');
  return value.map((entry, index) => {
    const place = `${where}[${index}]`;
    const workload = objectAt(entry, place, 'what the workload holds, such as {"cpumem": {"memory_request": 1048576}}');
    if (workload['labels'] === undefined && workload['resources'] === undefined) return resourcesAt(workload, place);
    onlyKeys(workload, place, ['labels', 'resources']);
    const resources = resourcesAt(workload['resources'], `${place}.resources`);
    return { affinity: { labels: labelsAt(workload['labels'], `${place}.labels`) }, ...resources };
  });
}

/**
 * Lets the kind write the node as it would store it: it refuses what cannot be, and what it did not take over it has not
 * understood.
 */
function check(
  kind: ResourceKind,
  part: { capacity: JsonObject; usage: JsonObject },
  usageGiven: boolean,
  where: string,
): void {
  let stored;
  try {
    stored = kind.setCapacity(part, {}, true);
  } catch (error) {
    throw new EruError('invalid', `${where}: ${EruError.from(error).message}`, { cause: error });
  }
  sameAs(part.capacity, stored.capacity, `${where}.capacity.${kind.name}`);
  if (usageGiven) sameAs(part.usage, stored.usage, `${where}.usage.${kind.name}`);
}

function sameAs(given: Json, stored: Json | undefined, where: string): void {
  if (given === null || given === stored) return;
  if (Array.isArray(given) && Array.isArray(stored)) {
    for (const [index, value] of given.entries()) sameAs(value, stored[index], `${where}[${index}]`);
  } else if (isJsonObject(given) && isJsonObject(stored)) {
    for (const [key, value] of Object.entries(given)) {
      if (key in stored || isNothing(value)) sameAs(value, stored[key] ?? value, `${where}.${key}`);
      else
        throw complaint(
          `${where}.${key}`,
          value,
          `the keys are ${Object.keys(stored).join(', ')}, and amounts are numbers`,
        );
    }
  } else if (typeof stored !== 'number' || Number(given) !== stored) {
    const remedy =
      typeof stored === 'number'
        ? `it is read as ${stored}; write a number that agrees with the rest`
        : 'write what this kind stores';
    throw complaint(where, given, remedy);
  }
}

/** Amounts of nothing may be left out of the stored form. */
function isNothing(value: Json): boolean {
  return (
    value === null || value === 0 || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
  );
}
