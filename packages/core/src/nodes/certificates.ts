import { describeCertificate, signCertificate, type ClientCertificate } from '@eru/contract';
import { EruError, type Clock } from '@eru/kit';

import { noSuchNode } from '../absent.ts';
import { certificateLifeMs, validFor } from '../trust/certificate-life.ts';
import { learn } from '../operations/booking.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type AuthorityRecord, type NodeRecord } from '../state/records.ts';
import type { ClusterView } from '../state/view.ts';

const mark = 'node:';

/** Who shows a node's certificate, and which. */
export interface NodeCaller {
  node: string;
  fingerprint: string;
}

/** A certificate of the authority for the key of a self-signed one. It is worth something once it stands in the node's record. */
export async function signForNode(
  authority: AuthorityRecord,
  clock: Clock,
  node: string,
  selfSigned: string,
): Promise<{ cert: string; fingerprint: string }> {
  const request = { name: `${mark}${node}`, usage: 'both', ...validFor(clock, certificateLifeMs) } as const;
  const cert = await signCertificate(authority, selfSigned, request);
  return { cert, fingerprint: describeCertificate(cert).fingerprint };
}

/** The record is what counts: a certificate that does not stand there is dead, however good it looks. */
export function isCurrent({ certificates = [] }: Pick<NodeRecord, 'certificates'>, fingerprint: string): boolean {
  return certificates.includes(fingerprint);
}

/** Undefined for a certificate that is no node's. @throws EruError `unauthenticated` for one that is not good any more */
export function nodeCallerOf(view: ClusterView, certificate: ClientCertificate | undefined): NodeCaller | undefined {
  if (certificate === undefined || !certificate.name.startsWith(mark)) return undefined;
  const node = certificate.name.slice(mark.length);
  const { fingerprint } = certificate;
  const refused = refusalOf(view, { node, fingerprint });
  if (refused !== undefined) throw refused;
  return { node, fingerprint };
}

/** Why this caller is let in no more. */
export function refusalOf(view: ClusterView, { node, fingerprint }: NodeCaller): EruError | undefined {
  const record = view.nodes.get(node)?.value;
  if (record !== undefined && isCurrent(record, fingerprint)) return undefined;
  const why = record === undefined ? `node ${node} was removed` : `node ${node} has joined anew, or was renewed, since`;
  return new EruError(
    'unauthenticated',
    `the certificate is dead: ${why}; to let this machine in make a token with \`eru node token ${node}\``,
    { details: { node } },
  );
}

/**
 * The next certificate of a node, which asks with the present one: that stays good, so that whatever uses it has time to
 * change over. Those before it end.
 */
export async function renewCertificate(
  context: Context,
  tenure: Tenure,
  { node, fingerprint }: NodeCaller,
  selfSigned: string,
): Promise<string> {
  const { view, clock, committer } = context;
  const authority = view.authority.get('')?.value;
  if (authority === undefined) throw new EruError('precondition', 'this cluster has no authority');
  const { cert, fingerprint: next } = await signForNode(authority, clock, node, selfSigned);
  for (;;) {
    const record = view.nodes.get(node);
    if (record === undefined) throw noSuchNode(node);
    const refused = refusalOf(view, { node, fingerprint });
    if (refused !== undefined) throw refused;
    const value: NodeRecord = { ...record.value, certificates: [fingerprint, next] };
    const result = await committer.commit(tenure, {
      own: [{ key: keys.node(node), revision: record.modRevision, value: encode(value) }],
    });
    if (result.committed) return cert;
    learn(context, result, [keys.node(node)]);
  }
}
