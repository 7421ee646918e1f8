import type { pb } from '@eru/contract';
import { formatSize, isJsonObject } from '@eru/kit';

import type { Colors, View } from './output.ts';
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
        usedOf(node, 'cpu', (cores) => String(Math.round(cores * 100) / 100)),
        usedOf(node, 'memory', formatSize),
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
    capacity: parse(node.resourceCapacity),
    usage: parse(node.resourceUsage),
    info: parse(node.info),
  };
}

export function nodeStatus({ available, bypass, test }: pb.Node, colors: Colors): string {
  const state = available || test ? colors.green('up') : colors.red('down');
  return bypass ? `${state}, ${colors.yellow('no new workloads')}` : state;
}

/** Booked of what there is. */
function usedOf(node: pb.Node, key: string, format: (amount: number) => string): string {
  const amount = (json: string): number | undefined => {
    const cpumem = isJsonObject(parse(json)) ? (parse(json) as Record<string, unknown>)['cpumem'] : undefined;
    const value = isJsonObject(cpumem) ? cpumem[key] : undefined;
    return typeof value === 'number' ? value : undefined;
  };
  const total = amount(node.resourceCapacity);
  return total === undefined ? '-' : `${format(amount(node.resourceUsage) ?? 0)}/${format(total)}`;
}

export function nodeSheet(node: pb.Node, colors: Colors): string {
  const labels = Object.entries(node.labels).map(([key, value]) => `${key}: ${value}`);
  return sheet(
    [
      ['Name', node.name],
      ['Pod', node.podname],
      ['Endpoint', node.endpoint],
      ['Status', nodeStatus(node, colors)],
      ['CPU', usedOf(node, 'cpu', String)],
      ['Memory', usedOf(node, 'memory', formatSize)],
      ['Labels', labels.toSorted().join('\n')],
      ['Capacity', pretty(node.resourceCapacity)],
      ['Usage', pretty(node.resourceUsage)],
      ['Info', pretty(node.info)],
    ],
    colors,
  );
}

export const nodeResourceView = {
  plain: ({ name, resourceCapacity, resourceUsage, diffs }: pb.NodeResource) => ({
    name,
    capacity: parse(resourceCapacity),
    usage: parse(resourceUsage),
    diffs,
  }),
  name: ({ name }: pb.NodeResource) => name,
  table: ({ name, resourceCapacity, resourceUsage, diffs }: pb.NodeResource, colors: Colors) =>
    sheet(
      [
        ['Name', name],
        ['Capacity', pretty(resourceCapacity)],
        ['Usage', pretty(resourceUsage)],
        ['Differences', diffs.length === 0 ? 'none' : colors.red(diffs.join('\n'))],
      ],
      colors,
    ),
};

/** Resources travel as JSON text; text that is none is shown as it came. */
function parse(text: string): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** One line per kind. */
function pretty(text: string): string {
  const value = parse(text);
  if (!isJsonObject(value)) return text;
  return Object.entries(value)
    .map(([kind, amounts]) => `${kind}: ${JSON.stringify(amounts)}`)
    .join('\n');
}
