import { EruError } from '@eru/kit';

import type { Session } from '../engine.ts';
import type { DockerHttp } from './http-client.ts';
import { DockerSession } from './session.ts';
import type { Container } from './wire-types.ts';

/** The main process's own streams. `exit` tells how it ended, unless it is left; `closed` ends what is asked after the opening. */
export async function attachTo(
  http: DockerHttp,
  { Id, Config }: Container,
  exit: (left: AbortSignal) => Promise<number>,
  signal: AbortSignal,
  closed: AbortSignal,
): Promise<Session> {
  const connection = await http.hijack({
    method: 'POST',
    path: `/containers/${Id}/attach`,
    query: { stream: true, stdin: Config.OpenStdin, stdout: true, stderr: true },
    headers: { connection: 'Upgrade', upgrade: 'tcp' },
    signal,
  });
  const resize = async ({ rows, cols }: { rows: number; cols: number }): Promise<void> => {
    const query = { h: rows, w: cols };
    await http.json({ method: 'POST', path: `/containers/${Id}/resize`, query, signal: closed });
  };
  const detached = new AbortController();
  return new DockerSession(
    connection,
    { stdin: Config.OpenStdin, tty: Config.Tty },
    {
      exit: () => exit(AbortSignal.any([closed, detached.signal])),
      resize,
      end: () => Promise.resolve(detached.abort(new EruError('canceled', 'detached'))),
    },
  );
}
