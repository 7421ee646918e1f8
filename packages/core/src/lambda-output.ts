import { isEruError, type Clock } from '@eru/kit';
import type { Engine, LogEntry } from '@eru/engines';

const againMs = 500;
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
  // Lines are told apart by their time; of those within one millisecond, by how many have been seen.
  let last = { atMs: 0, seen: 0 };
  async function* rest(follow: boolean, stop: AbortSignal): AsyncIterable<LogEntry> {
    let skip = last.seen;
    for await (const entry of engine().logs(id, { follow, sinceMs: last.atMs, signal: stop })) {
      if (entry.atMs === last.atMs && skip > 0) {
        skip -= 1;
        continue;
      }
      last = { atMs: entry.atMs, seen: entry.atMs === last.atMs ? last.seen + 1 : 1 };
      // A last line without its newline gets one: clients read by lines.
      yield entry.data.at(-1) === newline
        ? entry
        : { ...entry, data: Buffer.concat([entry.data, Uint8Array.of(newline)]) };
    }
  }
  while (!over.signal.aborted) {
    try {
      yield* rest(true, AbortSignal.any([over.signal, signal]));
    } catch (error) {
      if (over.signal.aborted || signal.aborted) break;
      if (!isUnanswered(error)) throw error;
    }
    await clock.sleep(againMs, AbortSignal.any([over.signal, signal])).catch(() => {});
  }
  // It has exited, and the follower was stopped for that: what it had not read yet.
  while (!signal.aborted) {
    try {
      return yield* rest(false, signal);
    } catch (error) {
      if (!isUnanswered(error)) throw error;
    }
    await clock.sleep(againMs, signal).catch(() => {});
  }
}

/** Its node's daemon may be away for a while. */
function isUnanswered(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
}
