import type { MessageInitShape, pb } from '@eru/contract';
import type { EngineInfo } from '@eru/engines';

import type { NodeRecord, NodeResourcesRecord } from '../../state/records.ts';
import type { ClusterView } from '../../state/view.ts';
import { resourcesText } from './resources-json.ts';

export type NodeMessage = MessageInitShape<typeof pb.NodeSchema>;

/** A node as the original shows it; undefined while one half of it is missing. */
export function nodeMessage(view: ClusterView, name: string): NodeMessage | undefined {
  const [node, resources] = [view.nodes.get(name)?.value, view.nodeResources.get(name)?.value];
  if (node === undefined || resources === undefined) return undefined;
  return {
    ...definition(node, resources),
    available: node.test ? !resources.cordon : view.isAvailable(name),
    resourceUsage: resourcesText(resources.usage),
  };
}

/** What AddNode answers: nothing is known of the usage of a new node, and it counts as available. */
export function newNodeMessage(node: NodeRecord, resources: NodeResourcesRecord): NodeMessage {
  return { ...definition(node, resources), available: true, resourceUsage: resourcesText(undefined) };
}

function definition(
  { name, endpoint, pod, labels, test }: NodeRecord,
  { capacity, cordon }: NodeResourcesRecord,
): NodeMessage {
  return { name, endpoint, podname: pod, bypass: cordon, labels, test, resourceCapacity: resourcesText(capacity) };
}

/** The JSON of `Node.info`. */
export function engineInfoText({ type, id, cpus, memoryBytes, storageBytes, resources }: EngineInfo): string {
  const encoded = Object.entries(resources).map(
    ([kind, value]) => [kind, Buffer.from(JSON.stringify(value)).toString('base64')] as const,
  );
  return JSON.stringify({
    Type: type,
    ID: id,
    NCPU: cpus,
    MemTotal: memoryBytes,
    StorageTotal: storageBytes,
    Resources: encoded.length === 0 ? null : Object.fromEntries(encoded),
  });
}

/** Where workloads on the host's network are reached: the host of the endpoint, or this machine for local engines. */
export function nodeAddress(endpoint: string): string {
  const match = /^[a-z-]+:\/\/(?:\[([^\]]+)\]|([^/:]+))(?::\d+)?/.exec(endpoint);
  const host = match?.[1] ?? match?.[2] ?? '';
  return endpoint.startsWith('unix:') || endpoint.startsWith('mock:') || host === '' ? '127.0.0.1' : host;
}
