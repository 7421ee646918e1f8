import type { eru } from '@eru/contract';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import type { View } from '../output.ts';
import { say, show, showList } from '../output.ts';
import { table } from '../show/table.ts';
import * as values from '../spec/values.ts';

const tokenView: View<eru.Token> = {
  plain: ({ name, role, createdAt, expiresAt }) => ({
    name,
    role,
    created_at: time(createdAt),
    expires_at: expiresAt === 0n ? null : time(expiresAt),
  }),
  name: ({ name }) => name,
  table: (tokens, colors) =>
    table(
      ['NAME', 'ROLE', 'CREATED', 'EXPIRES'],
      tokens.map(({ name, role, createdAt, expiresAt }) => [
        name,
        role,
        time(createdAt),
        expiresAt === 0n ? 'never' : time(expiresAt),
      ]),
      colors,
    ),
};

/** The secret alone goes to standard output, so that a script can keep it; with `-o json` beside what it is for. */
export async function createToken(
  context: Context,
  { role, ttl }: { role: string; ttl?: string },
  name: string,
): Promise<undefined> {
  const ttlMs = ttl === undefined ? 0 : values.flagged('--ttl', values.duration, ttl);
  const { signal } = context;
  const { token, secret } = await withConnection(context, ({ eru }) =>
    eru.createToken({ name, role, ttl: BigInt(Math.round(ttlMs)) }, { signal }),
  );
  await show(context, secret, {
    plain: () => ({ ...(token === undefined ? {} : (tokenView.plain(token) as object)), secret }),
    name: () => secret,
    table: () => secret,
  });
  say(
    context,
    `This secret is kept nowhere. Use it as --token or ERU_TOKEN, or with curl as "authorization: Bearer …".`,
  );
}

export async function listTokens(context: Context): Promise<undefined> {
  const { signal } = context;
  const { tokens } = await withConnection(context, ({ eru }) => eru.listTokens({}, { signal }));
  await showList(context, tokens, tokenView);
}

export async function removeToken(context: Context, _flags: unknown, name: string): Promise<undefined> {
  const { signal } = context;
  await withConnection(context, ({ eru }) => eru.removeToken({ name }, { signal }));
  say(context, `token ${name} removed`);
}

function time(ms: bigint): string {
  return new Date(Number(ms)).toISOString().slice(0, 19);
}
