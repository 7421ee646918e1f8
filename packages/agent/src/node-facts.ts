import { EruError, isEruError } from '@eru/kit';

import type { CoreCalls } from './core-calls.ts';

/** What core knows of the agent's node. */
export interface NodeFacts {
  pod: string;
  /** Host of its endpoint; 127.0.0.1 where that has none (reference/agent.md section 4). */
  ip: string;
}

/** How the agent adds its node to core, if it is not there. */
export interface Registration {
  pod: string;
  /** Where core reaches the node's engine. */
  endpoint: string;
  labels?: Readonly<Record<string, string>>;
}

/**
 * Asks core for the node, and adds it if it is not there and `registration` says how. Who may not ask goes on without.
 * @throws EruError `not_found`
 */
export async function introduce(
  core: CoreCalls,
  node: string,
  registration: Registration | undefined,
  options: { signal: AbortSignal; timeoutMs: number },
): Promise<NodeFacts> {
  const known = await core.core.getNode({ nodename: node }, options).catch(unlessRefused);
  if (known === 'refused') return { pod: '', ip: hostOf('') };
  if (known !== undefined) return { pod: known.podname, ip: hostOf(known.endpoint) };
  if (registration === undefined)
    throw new EruError('not_found', `core has no node ${node}; add it, or let the agent do so with --register POD`);
  const { pod, endpoint, labels = {} } = registration;
  await core.core.addPod({ name: pod, desc: '' }, options).catch(ifExists);
  await core.core.addNode({ nodename: node, podname: pod, endpoint, labels: { ...labels } }, options).catch(ifExists);
  return { pod, ip: hostOf(endpoint) };
}

function hostOf(endpoint: string): string {
  return /^[a-z+-]+:\/\/(?:[^@/]*@)?(\[[^\]]+\]|[^:/]+)/.exec(endpoint)?.[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1';
}

function unlessRefused(error: unknown): 'refused' | undefined {
  if (isEruError(error, 'not_found')) return undefined;
  if (isEruError(error, 'forbidden')) return 'refused';
  throw error;
}

function ifExists(error: unknown): undefined {
  if (!isEruError(error, 'exists')) throw error;
}
