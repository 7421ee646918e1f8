import { EruError, isEruError } from '@eru/kit';

import { noSuchNode } from '../absent.ts';
import { learn } from '../operations/booking.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type NodeStatusRecord } from '../state/records.ts';

/**
 * A node's heartbeat: a key that lives `ttlSeconds`. The same life again only prolongs the lease, which nobody sees;
 * another one is written anew; a negative one ends it. (reference/core-rpc.md section 4.3)
 */
export async function setNodeStatus(context: Context, tenure: Tenure, node: string, ttlSeconds: number): Promise<void> {
  if (context.view.nodes.get(node) === undefined) throw noSuchNode(node);
  if (ttlSeconds === 0) throw new EruError('invalid', 'invalid TTL for node status, should be > 0');
  if (ttlSeconds < 0) {
    await endHeartbeat(context, tenure, node);
    return context.view.heartbeats.left(node);
  }
  const ttlMs = ttlSeconds * 1000;
  const known = context.view.nodeStatuses.get(node);
  if (known?.value.ttlMs === ttlMs && known.lease !== undefined && (await renewed(context, known.lease))) return;
  const lease = await context.store.grantLease(ttlMs);
  try {
    await putHeartbeat(context, tenure, node, { v: 1, ttlMs }, lease.id);
  } catch (error) {
    await revoke(context, lease.id);
    throw error;
  }
  if (known?.lease !== undefined) await revoke(context, known.lease);
}

async function renewed({ store }: Context, lease: string): Promise<boolean> {
  try {
    await store.renewLease(lease);
    return true;
  } catch (error) {
    if (isEruError(error, 'not_found')) return false;
    throw error;
  }
}

async function putHeartbeat(
  context: Context,
  tenure: Tenure,
  node: string,
  record: NodeStatusRecord,
  lease: string,
): Promise<void> {
  const key = keys.nodeStatus(node);
  for (;;) {
    const revision = context.view.nodeStatuses.get(node)?.modRevision ?? 0;
    const result = await context.committer.commit(tenure, {
      own: [{ key, revision, value: encode(record), lease }],
      compare: [{ key: keys.node(node), target: 'create', op: '>', value: 0 }],
    });
    if (result.committed) return;
    if (!result.current.has(keys.node(node))) throw noSuchNode(node);
    learn(context, result, [key]);
  }
}

async function endHeartbeat(context: Context, tenure: Tenure, node: string): Promise<void> {
  const key = keys.nodeStatus(node);
  for (;;) {
    const known = context.view.nodeStatuses.get(node);
    if (known === undefined) return;
    const result = await context.committer.commit(tenure, { own: [{ key, revision: known.modRevision }] });
    if (result.committed) return known.lease === undefined ? undefined : revoke(context, known.lease);
    learn(context, result, [key]);
  }
}

/** A lease that cannot be ended now ends by itself. */
async function revoke({ store, logger }: Context, lease: string): Promise<void> {
  await store.revokeLease(lease).catch((error: unknown) => logger.debug({ err: error }, 'cannot end a lease'));
}
