import type { KindNode, Metric, MetricDescription } from '../kind.ts';
import { readHoldings } from './node.ts';

const labels = ['podname', 'nodename'];

export const metricDescriptions: readonly MetricDescription[] = [
  { name: 'storage_used', help: 'storage requested by workloads in bytes', type: 'gauge', labels },
  { name: 'storage_capacity', help: 'storage of the node in bytes', type: 'gauge', labels },
];

/** The original gives both the statsd key of the used storage, so that one overwrites the other. */
export function metrics(pod: string, node: string, resources: KindNode): Metric[] {
  const key = `core.node.${node.replaceAll('.', '_')}.storage`;
  const [used, capacity] = [readHoldings(resources.usage).storage, readHoldings(resources.capacity).storage];
  return [
    { name: 'storage_used', labels: [pod, node], key: `${key}.used`, value: String(used) },
    { name: 'storage_capacity', labels: [pod, node], key, value: String(capacity) },
  ];
}
