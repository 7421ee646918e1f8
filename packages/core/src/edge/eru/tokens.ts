import type { eru, MessageInitShape, ServiceHandlers } from '@eru/contract';
import { toSafeNumber } from '@eru/kit';

import type { TokenRecord } from '../../state/records.ts';
import { createToken, removeToken } from '../../trust/tokens.ts';
import type { Edge } from '../edge.ts';

export function eruTokenMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  const { view } = context;
  return {
    createToken: async ({ name, role, ttl }) => {
      const { record, secret } = await createToken(context, membership.current(), {
        name,
        role,
        ttlMs: toSafeNumber(ttl),
      });
      return { token: tokenMessage(record), secret };
    },

    listTokens: async () => ({
      tokens: view.tokens.names().flatMap((name) => {
        const token = view.tokens.get(name);
        return token === undefined ? [] : [tokenMessage(token.value)];
      }),
    }),

    removeToken: async ({ name }) => {
      await removeToken(context, membership.current(), name);
      return {};
    },
  };
}

function tokenMessage({
  name,
  role,
  createdAtMs,
  expiresAtMs = 0,
}: TokenRecord): MessageInitShape<typeof eru.TokenSchema> {
  return { name, role, createdAt: BigInt(createdAtMs), expiresAt: BigInt(expiresAtMs) };
}
