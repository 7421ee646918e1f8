import { pb } from '@eru/contract';
import { EruError } from '@eru/kit';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { Outcomes } from '../show/outcomes.ts';
import type { View } from '../output.ts';
import { say, showList } from '../output.ts';
import { table } from '../show/table.ts';
import { findWorkloads } from '../workloads.ts';

const networkView: View<pb.Network> = {
  plain: ({ name, subnets }) => ({ name, subnets }),
  name: ({ name }) => name,
  table: (networks, colors) =>
    table(
      ['NAME', 'SUBNETS'],
      networks.map(({ name, subnets }) => [name, subnets.join(', ')]),
      colors,
    ),
};

export async function listNetworks(
  context: Context,
  { pod: podname = '', driver = '' }: { pod?: string; driver?: string },
): Promise<undefined> {
  const { signal } = context;
  const { networks } = await withConnection(context, ({ core }) => core.listNetworks({ podname, driver }, { signal }));
  await showList(context, networks, networkView);
}

/** All words are known before the first is touched; the others go on when one fails. */
export function connectNetwork(
  context: Context,
  { ipv4 = '', ipv6 = '' }: { ipv4?: string; ipv6?: string },
  network: string,
  words: string[],
): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    if (found.length > 1 && ipv4 + ipv6 !== '')
      throw new EruError(
        'invalid',
        `${ipv4 || ipv6}: one address for ${found.length} workloads; connect them one by one`,
      );
    const outcome = new Outcomes(context, found, `is on ${network}`);
    for (const { record } of found) {
      const target = record?.id ?? '';
      try {
        const { subnets } = await connection.core.connectNetwork({ network, target, ipv4, ipv6 }, { signal });
        outcome.tell(target, '');
        if (subnets.length > 0) say(context, `  at ${subnets.join(', ')}`);
      } catch (error) {
        outcome.tell(target, EruError.from(error).message);
      }
    }
    return outcome.end();
  });
}

export function disconnectNetwork(
  context: Context,
  { force = false }: { force?: boolean },
  network: string,
  words: string[],
): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    const outcome = new Outcomes(context, found, `is off ${network}`);
    for (const { record } of found) {
      const target = record?.id ?? '';
      const error = await connection.core.disconnectNetwork({ network, target, force }, { signal }).then(
        () => '',
        (thrown: unknown) => EruError.from(thrown).message,
      );
      outcome.tell(target, error);
    }
    return outcome.end();
  });
}
