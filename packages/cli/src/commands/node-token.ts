import { EruError } from '@eru/kit';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { say, show } from '../output.ts';
import * as values from '../spec/values.ts';

/** The token alone goes to standard output, so that a script can hand it on. */
export async function createNodeToken(
  context: Context,
  { pod, ttl, rejoin = false }: { pod: string; ttl: string; rejoin?: boolean },
  name: string,
): Promise<undefined> {
  const node = values.flagged('NODE', values.placeName, name);
  const ttlMs = Math.round(values.flagged('--ttl', values.duration, ttl));
  if (ttlMs < 1) throw new EruError('invalid', '--ttl: 0 is no life; write a duration such as 1h');
  const { signal } = context;
  const { token, expiresAt } = await withConnection(context, ({ eru }) =>
    eru.createNodeToken({ node, pod, rejoin, ttl: BigInt(ttlMs) }, { signal }),
  );
  const until = new Date(Number(expiresAt)).toISOString().slice(0, 19);
  await show(context, token, {
    plain: () => ({ node, token, expires_at: until }),
    name: () => token,
    table: () => token,
  });
  say(context, `Good once, until ${until}. On the machine: eru runtime --join TOKEN CORE, then eru agent.`);
}
