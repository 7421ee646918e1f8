import { EruError, invalid, retry } from '@eru/kit';

import { noSuchNode, noSuchPod } from '../absent.ts';
import { authorityFingerprint, authorityOf } from './authority.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { checkName } from '../names.ts';
import { encode, versioned, type JoinRecord, type Versioned } from '../state/records.ts';
import { hashOf } from './tokens.ts';

const mark = 'eru_join_';
const hourMs = 3_600_000;
const longestMs = 7 * 24 * hourMs;

/** How much longer it is known that a token was there: who comes too late is told so. */
const rememberedMs = 24 * hourMs;

export interface NodeTokenRequest {
  node: string;
  /** Of the new node. */
  pod: string;
  /** Life from now; 0 = one hour. */
  ttlMs: number;
  /** For a node that is there: its machine joins anew, and what it had until now is dead. */
  rejoin: boolean;
}

/**
 * A token for one machine, once: `eru_join_SECRET_FINGERPRINT`, the fingerprint being that of the authority. It takes the
 * place of an earlier one for this node.
 */
export async function createNodeToken(
  context: Context,
  tenure: Tenure,
  cluster: string,
  request: NodeTokenRequest,
): Promise<{ token: string; expiresAtMs: number }> {
  const { view, store, clock, random, committer } = context;
  const { node, pod, rejoin, ttlMs } = request;
  checkName('node', node);
  const life = ttlMs === 0 ? hourMs : ttlMs;
  if (life < 0 || life > longestMs) throw invalid('ttl', ttlMs, 'give milliseconds from now, at most those of 7 days');
  const known = view.nodes.get(node);
  if (rejoin && known === undefined) throw noSuchNode(node);
  if (!rejoin && known !== undefined)
    throw new EruError(
      'exists',
      `node ${node} exists; choose another name, or let its machine join anew with --rejoin`,
      {
        details: { node },
      },
    );
  if (!rejoin && view.pods.get(pod) === undefined) throw noSuchPod(pod);
  const authority = await authorityOf(context, tenure, cluster);
  const secret = random.hex(64);
  const expiresAtMs = clock.now() + life;
  const record: JoinRecord = { v: 1, node, pod: rejoin ? '' : pod, hash: hashOf(secret), expiresAtMs };
  let before = view.joins.get(node)?.modRevision ?? 0;
  for (;;) {
    const lease = await retry(() => store.grantLease(life + rememberedMs), { signal: tenure.signal, clock, random });
    const result = await committer.commit(tenure, {
      own: [{ key: keys.join(node), revision: before, value: encode(record), lease: lease.id }],
    });
    if (result.committed) break;
    before = result.current.get(keys.join(node))?.modRevision ?? 0;
  }
  return { token: `${mark}${secret}_${authorityFingerprint(authority)}`, expiresAtMs };
}

export function isJoinSecret(secret: string): boolean {
  return secret.startsWith(mark);
}

/** Who may join by this secret, `eru_join_SECRET`. @throws EruError `unauthenticated` for one that is unknown or has expired */
export function joinOf({ view, clock }: Pick<Context, 'view' | 'clock'>, secret: string): Versioned<JoinRecord> {
  const hash = hashOf(secret.slice(mark.length));
  for (const [, join] of view.joins) {
    const { value } = join;
    if (value.hash !== hash) continue;
    if (clock.now() < value.expiresAtMs) return join;
    throw new EruError(
      'unauthenticated',
      `the token for node ${value.node} expired at ${new Date(value.expiresAtMs).toISOString()}; make another one with \`eru node token ${value.node}\``,
    );
  }
  throw new EruError(
    'unauthenticated',
    'the token is not known: it was mistyped, a later one took its place, or its node was removed; make one with `eru node token`',
  );
}

/** Of a token that a transaction has found changed: somebody else was there first. */
export function lostJoin(node: string): EruError {
  return new EruError(
    'unauthenticated',
    `the token for node ${node} was used by another machine; make one for this machine with \`eru node token\``,
    { details: { node } },
  );
}

/** The join as a lost transaction has read it back, if it may still go on with this key. */
export function stillMine(
  current: Parameters<typeof versioned>[0] | undefined,
  keyHash: string,
): Versioned<JoinRecord> | undefined {
  const join = current === undefined ? undefined : versioned<JoinRecord>(current);
  return join === undefined || (join.value.usedBy ?? keyHash) !== keyHash ? undefined : join;
}
