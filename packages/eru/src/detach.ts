import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';

import { childEnvironment, EruError, type ErrorCode } from '@eru/kit';

/** What a detached daemon tells its parent: its greeting when it serves, or why it does not. */
export type Tidings = { greeting: string[] } | { code: ErrorCode; message: string };

/** This very command without `--detach`. */
export function attachedArgv(): string[] {
  return process.argv.slice(1).filter((word) => word !== '--detach');
}

/**
 * Starts a command of ours in a session of its own, with its log in a file; resolves with its greeting and process id when it serves.
 * @throws EruError that it told, or `failed` when it ended without a word
 */
export async function detach(argv: readonly string[], logFile: string): Promise<{ greeting: string[]; pid: number }> {
  const log = openSync(logFile, 'a', 0o600);
  const child = spawn(process.execPath, argv, {
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: childEnvironment(),
  });
  closeSync(log);
  const failed = once(child, 'exit').then(([code, name]) => {
    const how = code === null ? String(name) : `exit code ${String(code)}`;
    throw new EruError('failed', `it did not start (${how}); its log is ${logFile}`);
  });
  const told = once(child, 'message').then(([message]) => message as Tidings);
  const tidings = await Promise.race([told, failed]);
  failed.catch(() => {}); // From here on its end is its own affair.
  if ('code' in tidings) throw new EruError(tidings.code, tidings.message);
  child.disconnect();
  child.unref();
  return { greeting: tidings.greeting, pid: child.pid ?? 0 };
}

/** Tells the parent of a detached daemon how it went; false without one. */
export function tellParent(tidings: Tidings): boolean {
  if (process.send === undefined) return false;
  process.send(tidings);
  return true;
}
