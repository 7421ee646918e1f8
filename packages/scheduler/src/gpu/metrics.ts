import type { KindNode, Metric, MetricDescription } from '../kind.ts';
import { readCapacity, readUsed } from './node.ts';

const labels = ['podname', 'nodename', 'product'];

export const metricDescriptions: readonly MetricDescription[] = [
  { name: 'gpu_capacity', help: 'GPUs of the node', type: 'gauge', labels },
  { name: 'gpu_used', help: 'GPUs requested by workloads', type: 'gauge', labels },
];

export function metrics(pod: string, node: string, resources: KindNode): Metric[] {
  const used = readUsed(resources.usage).products;
  return Object.entries(readCapacity(resources.capacity).products).flatMap(([product, count]) => {
    const key = `core.node.${node.replaceAll('.', '_')}.gpu.${product.replaceAll('.', '_')}`;
    return [
      { name: 'gpu_capacity', labels: [pod, node, product], key, value: String(count) },
      { name: 'gpu_used', labels: [pod, node, product], key: `${key}.used`, value: String(used[product] ?? 0) },
    ];
  });
}
