import { expect } from 'vitest';

import { collect, type TestCore } from '../harness.suite.ts';

type Rpc = TestCore['rpc'];

/** What is said of a key that is not in the store. */
export const absent = (key: string): string => `key: ${key}: bad \`Count\` value, entity count invalid`;

export const deployOptions = {
  name: 'app',
  podname: 'pod',
  image: 'image',
  count: 1,
  entrypoint: { name: 'web', commands: ['serve'] },
};

/** The pod may be there. */
export async function addPodAndNode(
  rpc: Rpc,
  node = 'n1',
  endpoint = `mock://${node}?cpus=4&memory=1G`,
): Promise<void> {
  await rpc.addPod({ name: 'pod', desc: 'a pod' }).catch(() => {});
  await rpc.addNode({ nodename: node, endpoint, podname: 'pod' });
}

/** Answers the ids. */
export async function deployed(rpc: Rpc, count = 1, more: Record<string, unknown> = {}): Promise<string[]> {
  const messages = await collect(rpc.createWorkload({ ...deployOptions, count, ...more }));
  expect(messages.map(({ error }) => error)).toEqual(Array.from({ length: count }, () => ''));
  return messages.map(({ id }) => id);
}

/** A stream of live events stands once the server has taken the call; a call after it on the same connection is answered later. */
export async function settled(rpc: Rpc): Promise<void> {
  await rpc.info({});
}
