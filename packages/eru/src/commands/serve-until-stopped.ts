import type { Context } from '@eru/cli';
import { Closer, EruError } from '@eru/kit';

import { attachedArgv, detach, tellParent } from '../detach.ts';

/** Runs a daemon until the user stops it; what was opened is closed even when starting fails. */
export async function serveUntilStopped(
  { signal }: Context,
  start: (closer: Closer) => Promise<void>,
): Promise<number> {
  await using closer = new Closer();
  try {
    await start(closer);
  } catch (error) {
    const { code, message } = EruError.from(error);
    tellParent({ code, message });
    throw error;
  }
  tellParent({ greeting: [] });
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return 0;
}

/** The same in a session of its own (`--detach`): returns when it serves, so that the next command finds it. */
export async function serveDetached({ stderr }: Context, name: string, logFile: string): Promise<number> {
  const { pid } = await detach(attachedArgv(), logFile);
  stderr.write(`${name} serves in the background; its log is ${logFile}, \`kill ${pid}\` ends it\n`);
  return 0;
}
