import { createAuthority, describeCertificate } from '@eru/contract';

import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, versioned, type AuthorityRecord } from '../state/records.ts';
import { authorityLifeMs, validFor } from './certificate-life.ts';

/** What its machines trust, and nobody else: made when first asked for, by whichever core is first. */
export async function authorityOf(context: Context, tenure: Tenure, cluster: string): Promise<AuthorityRecord> {
  const { view, committer, clock } = context;
  const known = view.authority.get('')?.value;
  if (known !== undefined) return known;
  const made = await createAuthority({ name: `eru ${cluster.slice(0, 12)}`, ...validFor(clock, authorityLifeMs) });
  const record: AuthorityRecord = { v: 1, ...made };
  const result = await committer.commit(tenure, {
    own: [{ key: keys.authority, revision: 0, value: encode(record) }],
  });
  const other = result.committed ? undefined : result.current.get(keys.authority);
  if (other === undefined) return record;
  view.applyWrites([other], [], other.modRevision);
  return versioned<AuthorityRecord>(other).value;
}

/** SHA-256 of the certificate, in plain hex: what a token carries. */
export function authorityFingerprint({ cert }: Pick<AuthorityRecord, 'cert'>): string {
  return describeCertificate(cert).fingerprint.replaceAll(':', '').toLowerCase();
}
