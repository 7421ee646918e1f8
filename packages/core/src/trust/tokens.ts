import { createHash } from 'node:crypto';

import { EruError, invalid } from '@eru/kit';

import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { checkName } from '../names.ts';
import { encode, roles, type Role, type TokenRecord } from '../state/records.ts';

/** What a secret begins with, so that scanners of logs and repositories know one when they see it. */
const mark = 'eru_';

/**
 * A new token and its secret, which is kept nowhere.
 * @param ttlMs life from now; 0 = for ever
 * @throws EruError `invalid`, or `exists` when there is one of this name
 */
export async function createToken(
  { committer, clock, random }: Context,
  tenure: Tenure,
  request: { name: string; role: string; ttlMs: number },
): Promise<{ record: TokenRecord; secret: string }> {
  checkName('token', request.name);
  const role = roles.find((known) => known === request.role);
  if (role === undefined) throw invalid('role', request.role, `the roles are ${roles.join(', ')}`);
  const { name, ttlMs } = request;
  if (ttlMs < 0) throw invalid('ttl', ttlMs, 'give milliseconds from now, or 0 for ever');
  const secret = `${mark}${random.hex(64)}`;
  const now = clock.now();
  const record: TokenRecord = {
    v: 1,
    name,
    role,
    hash: hashOf(secret),
    createdAtMs: now,
    ...(ttlMs > 0 && { expiresAtMs: now + ttlMs }),
  };
  const result = await committer.commit(tenure, {
    own: [{ key: keys.token(name), revision: 0, value: encode(record) }],
  });
  if (!result.committed)
    throw new EruError('exists', `token ${name} exists; remove it first, or choose another name`, {
      details: { token: name },
    });
  return { record, secret };
}

/** @throws EruError `not_found` */
export async function removeToken({ committer, view }: Context, tenure: Tenure, name: string): Promise<void> {
  for (;;) {
    const token = view.tokens.get(name);
    if (token === undefined)
      throw new EruError('not_found', `token ${name} is not known`, { details: { token: name } });
    const result = await committer.commit(tenure, { own: [{ key: keys.token(name), revision: token.modRevision }] });
    if (result.committed) return;
    const current = result.current.get(keys.token(name));
    if (current === undefined) return;
    view.applyWrites([current], [], current.modRevision);
  }
}

/** Who shows this secret; undefined for one that is unknown or has expired. */
export function holderOf({ view, clock }: Pick<Context, 'view' | 'clock'>, secret: string): TokenRecord | undefined {
  if (!secret.startsWith(mark)) return undefined;
  // Hashes are looked for, so the time it takes tells nothing of any secret.
  const hash = hashOf(secret);
  for (const [, { value }] of view.tokens) {
    if (value.hash !== hash) continue;
    return value.expiresAtMs === undefined || clock.now() < value.expiresAtMs ? value : undefined;
  }
  return undefined;
}

export function mayDo(role: Role, wanted: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(wanted);
}

export function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
