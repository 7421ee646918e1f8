import type { Context } from '@eru/cli';
import { Closer } from '@eru/kit';

/** Runs a daemon until the user stops it; what was opened is closed even when starting fails. */
export async function serveUntilStopped(
  { signal }: Context,
  start: (closer: Closer) => Promise<void>,
): Promise<number> {
  await using closer = new Closer();
  await start(closer);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return 0;
}
