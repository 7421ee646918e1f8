import type { CallContext, eru, ServiceHandlers } from '@eru/contract';
import { EruError, toSafeNumber } from '@eru/kit';

import { joinNode } from '../../trust/join.ts';
import { createNodeToken, isJoinSecret } from '../../trust/join-tokens.ts';
import { nodeCallerOf, renewCertificate } from '../../nodes/certificates.ts';
import type { Edge } from '../edge.ts';

export function eruJoinMethods({
  context,
  membership,
  engines,
  identifier: cluster,
}: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    createNodeToken: async ({ node, pod, ttl, rejoin }) => {
      const request = { node, pod, rejoin, ttlMs: toSafeNumber(ttl, 'ttl') };
      const { token, expiresAtMs } = await createNodeToken(context, membership.current(), cluster, request);
      return { token, expiresAt: BigInt(expiresAtMs) };
    },

    joinNode: async ({ endpoint, certificate, now }, call) => {
      const request = { secret: joinSecretOf(call), endpoint, certificate, nowMs: toSafeNumber(now, 'now') };
      return joinNode(context, membership.current(), { cluster, engines }, request, call.signal);
    },

    renewCertificate: async ({ certificate }, call) => {
      const caller = nodeCallerOf(context.view, call.certificate);
      if (caller === undefined)
        throw new EruError('unauthenticated', 'RenewCertificate is for machines that show the certificate of a node');
      return { certificate: await renewCertificate(context, membership.current(), caller, certificate) };
    },
  };
}

/** Also where core asks nobody for a credential, a token says which node it is. */
function joinSecretOf({ metadata }: CallContext): string {
  const [scheme = '', secret = ''] = (metadata.get('authorization') ?? '').split(' ');
  if (scheme.toLowerCase() === 'bearer' && isJoinSecret(secret)) return secret;
  throw new EruError(
    'unauthenticated',
    'JoinNode needs a token of `eru node token` as authorization: Bearer eru_join_…',
  );
}
