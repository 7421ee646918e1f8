import type { pb } from '@eru/contract';
import { formatSize, isJsonObject } from '@eru/kit';

import { amountText, coresText, parseResources, resourceRows } from './node-resources.ts';
import type { Colors, View } from '../output.ts';
import { sheet, table } from './table.ts';

export const nodeView: View<pb.Node> = {
  plain: plainNode,
  name: ({ name }) => name,
  table: (nodes, colors) =>
    table(
      ['NAME', 'POD', 'STATUS', 'CPU', 'MEMORY', 'ENDPOINT'],
      nodes.map((node) => [
        node.name,
        node.podname,
        nodeStatus(node, colors),
        amountText(node.resourceCapacity, node.resourceUsage, 'cpumem', 'cpu', coresText),
        amountText(node.resourceCapacity, node.resourceUsage, 'cpumem', 'memory', formatSize),
        node.endpoint,
      ]),
      colors,
    ),
};

function plainNode(node: pb.Node) {
  return {
    name: node.name,
    pod: node.podname,
    endpoint: node.endpoint,
    available: node.available,
    bypass: node.bypass,
    test: node.test,
    labels: node.labels,
    capacity: parseResources(node.resourceCapacity),
    usage: parseResources(node.resourceUsage),
    info: parseResources(node.info),
  };
}

export function nodeStatus({ available, bypass, test }: pb.Node, colors: Colors): string {
  const state = available || test ? colors.green('up') : colors.red('down');
  return bypass ? `${state}, ${colors.yellow('no new workloads')}` : state;
}

export function nodeSheet(node: pb.Node, colors: Colors): string {
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}: ${value}`);
  return sheet(
    [
      ['Name', node.name],
      ['Pod', node.podname],
      ['Endpoint', node.endpoint],
      ['Status', nodeStatus(node, colors)],
      ['Labels', labels.toSorted().join('\n')],
      ...resourceRows(node.resourceCapacity, node.resourceUsage),
      ['Info', pretty(node.info)],
    ],
    colors,
  );
}

export const nodeResourceView = {
  plain: ({ name, resourceCapacity, resourceUsage, diffs }: pb.NodeResource) => ({
    name,
    capacity: parseResources(resourceCapacity),
    usage: parseResources(resourceUsage),
    diffs,
  }),
  name: ({ name }: pb.NodeResource) => name,
  table: ({ name, resourceCapacity, resourceUsage, diffs }: pb.NodeResource, colors: Colors) =>
    sheet(
      [
        ['Name', name],
        ...resourceRows(resourceCapacity, resourceUsage),
        ['Differences', diffs.length === 0 ? 'none' : colors.red(diffs.join('\n'))],
      ],
      colors,
    ),
};

/** One line per key. */
function pretty(text: string): string {
  const value = parseResources(text);
  if (!isJsonObject(value)) return text;
  return Object.entries(value)
    .map(([kind, amounts]) => `${kind}: ${JSON.stringify(amounts)}`)
    .join('\n');
}
