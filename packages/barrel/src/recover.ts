import { EruError, retry } from '@eru/kit';
import { requestLabel } from '@eru/network';

import { netdMs, type Parts } from './parts.ts';

/**
 * An earlier proxy may have died between dockerd's answer and the moment when addresses became the container's. What is still reserved
 * under a temporary name goes to the container that carries the name, as long as the name's time is not over. Nobody can
 * have put a name on an image before it was made up.
 */
export function adoptLeft(parts: Parts): { close(): Promise<void> } {
  const stop = new AbortController();
  const work = retry(() => round(parts), { baseMs: 500, maxMs: 2000, signal: stop.signal }).catch((error: unknown) => {
    if (!stop.signal.aborted) parts.logger.warn({ err: error }, 'requests of an earlier life could not be looked at');
  });
  return {
    close: async () => {
      stop.abort();
      await work;
    },
  };
}

/** @throws EruError while there may be more to do */
async function round({ netd, docker, logger }: Parts): Promise<void> {
  const signal = AbortSignal.timeout(netdMs);
  const temporary = (await netd.intents({}, signal)).filter(({ expiresAt }) => expiresAt !== undefined);
  if (temporary.length === 0) return;
  const containers = await docker.json<{ Id: string; Labels?: Record<string, string> }[]>({
    method: 'GET',
    path: '/containers/json',
    query: { all: true, filters: JSON.stringify({ label: [requestLabel] }) },
    signal,
  });
  for (const { container: from } of temporary) {
    const created = containers.find(({ Labels = {} }) => Labels[requestLabel] === from);
    if (created === undefined) continue;
    await netd.adopt({ from, container: created.Id }, signal);
    logger.info({ id: created.Id }, 'a container of an earlier life has its addresses');
  }
  throw new EruError('busy', 'dockerd may still be creating what was asked for');
}
