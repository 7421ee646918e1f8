import type { Engine, LogEntry } from '@eru/engines';
import type { Clock } from '@eru/kit';

import { isUnanswered, logAgainMs, LogReader } from './log-reader.ts';

const newline = 0x0a;

/**
 * Everything that a workload prints, each line once, from its beginning until it has exited: over restarts of its node's
 * daemon, and whether it ended before the first line was asked for or not.
 */
export async function* printed(
  engine: () => Engine,
  id: string,
  exited: Promise<unknown>,
  clock: Clock,
  signal: AbortSignal,
): AsyncIterable<LogEntry> {
  const over = new AbortController();
  exited.then(
    () => over.abort(),
    () => over.abort(),
  );
  const reader = new LogReader(engine, id);
  async function* rest(follow: boolean, stop: AbortSignal): AsyncIterable<LogEntry> {
    // A last line without its newline gets one: clients read by lines.
    for await (const entry of reader.read({ follow, signal: stop }))
      yield entry.data.at(-1) === newline
        ? entry
        : { ...entry, data: Buffer.concat([entry.data, Uint8Array.of(newline)]) };
  }
  while (!over.signal.aborted) {
    try {
      yield* rest(true, AbortSignal.any([over.signal, signal]));
    } catch (error) {
      if (over.signal.aborted || signal.aborted) break;
      if (!isUnanswered(error)) throw error;
    }
    await clock.sleep(logAgainMs, AbortSignal.any([over.signal, signal])).catch(() => {});
  }
  // It has exited, and the follower was stopped for that: what it had not read yet.
  while (!signal.aborted) {
    try {
      return yield* rest(false, signal);
    } catch (error) {
      if (!isUnanswered(error)) throw error;
    }
    await clock.sleep(logAgainMs, signal).catch(() => {});
  }
}
