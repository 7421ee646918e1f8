import { EruError } from '@eru/kit';

import { noSuchPod } from '../absent.ts';
import { caughtUp } from '../catch-up.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { checkName } from '../names.ts';
import { encode, type PodRecord, type Versioned } from '../state/records.ts';

/** `exists` when there is one of this name. */
export async function addPod(context: Context, tenure: Tenure, name: string, desc: string): Promise<PodRecord> {
  if (name === '') throw emptyName();
  checkName('pod name', name);
  const record: PodRecord = { v: 1, name, desc };
  const result = await context.committer.commit(tenure, {
    own: [{ key: keys.pod(name), revision: 0, value: encode(record) }],
  });
  if (!result.committed) throw new EruError('exists', 'key exists', { details: { pod: name } });
  return record;
}

/**
 * Refuses a pod that has nodes. Adding a node rewrites the pod's key, so that a pod which the transaction finds unchanged has
 * no node that the view does not know.
 */
export async function removePod(context: Context, tenure: Tenure, name: string, signal: AbortSignal): Promise<void> {
  if (name === '') throw emptyName();
  for (;;) {
    const kv = await context.store.get(keys.pod(name), { signal });
    if (kv === undefined)
      throw new EruError('not_found', `podname: ${name}: pod not found`, { details: { pod: name } });
    await caughtUp(context, kv.modRevision, signal);
    const nodes = [...context.view.nodes].filter(([, { value }]) => value.pod === name).length;
    if (nodes > 0)
      throw new EruError('precondition', `pod ${name} still has ${nodes} nodes, delete them first: pod has nodes`);
    const result = await context.committer.commit(tenure, { own: [{ key: kv.key, revision: kv.modRevision }] });
    if (result.committed) return;
  }
}

/** `not_found` with the original's text. */
export function podOf({ view }: Context, name: string): Versioned<PodRecord> {
  if (name === '') throw emptyName();
  const pod = view.pods.get(name);
  if (pod === undefined) throw noSuchPod(name);
  return pod;
}

function emptyName(): EruError {
  return new EruError('invalid', 'pod name is empty');
}
