import type { KindNode, Metric, MetricDescription } from '../kind.ts';
import { readCapacity, readUsed } from './node.ts';

export const metricDescriptions: readonly MetricDescription[] = [
  { name: 'cpu_map', help: 'pieces used of each core', type: 'gauge', labels: ['podname', 'nodename', 'cpuid'] },
  { name: 'cpu_used', help: 'cores requested by workloads', type: 'gauge', labels: ['podname', 'nodename'] },
  { name: 'memory_capacity', help: 'memory of the node in bytes', type: 'gauge', labels: ['podname', 'nodename'] },
  {
    name: 'memory_used',
    help: 'memory requested by workloads in bytes',
    type: 'gauge',
    labels: ['podname', 'nodename'],
  },
];

/** `cpu_map` is the pieces used of each core. Dots would split a statsd key. */
export function metrics(pod: string, node: string, resources: KindNode): Metric[] {
  const capacity = readCapacity(resources.capacity);
  const used = readUsed(resources.usage);
  const key = `core.node.${node.replaceAll('.', '_')}`;
  const labels = [pod, node];
  return [
    ...Object.keys(capacity.cpuMap).map((core) => ({
      name: 'cpu_map',
      labels: [...labels, core],
      key: `${key}.cpu.${core}`,
      value: String(used.cpuMap[core] ?? 0),
    })),
    { name: 'cpu_used', labels, key: `${key}.cpu.used`, value: String(used.cpu) },
    { name: 'memory_capacity', labels, key: `${key}.memory`, value: String(capacity.memory) },
    { name: 'memory_used', labels, key: `${key}.memory.used`, value: String(used.memory) },
  ];
}
