import type { Engine, LogEntry, LogOptions } from '@eru/engines';
import { isEruError, type Clock } from '@eru/kit';

/** How soon a log is asked for again where its node did not answer. */
export const logAgainMs = 500;

/** Reads one workload's log in several goes, each line once: over restarts of its node's daemon and of its engine. */
export class LogReader {
  readonly #engine: () => Engine;
  readonly #id: string;
  /** Lines are told apart by their time; of those within one millisecond, by how many have been seen. */
  #last: { atMs: number; seen: number } | undefined;

  constructor(engine: () => Engine, id: string) {
    this.#engine = engine;
    this.#id = id;
  }

  /**
   * From where the last go ended; `tail` and `sinceMs` say where the first line is. After a first go with `tail`, a line may come again that shares its
   * millisecond with the first.
   */
  async *read({ tail, sinceMs, ...options }: LogOptions): AsyncGenerator<LogEntry> {
    const from = this.#last;
    const start =
      from === undefined
        ? { ...(tail !== undefined && { tail }), ...(sinceMs !== undefined && { sinceMs }) }
        : { sinceMs: from.atMs };
    let skip = from?.seen ?? 0;
    for await (const entry of this.#engine().logs(this.#id, { ...options, ...start })) {
      if (skip > 0 && entry.atMs === from?.atMs) {
        skip -= 1;
        continue;
      }
      this.#last = { atMs: entry.atMs, seen: entry.atMs === this.#last?.atMs ? this.#last.seen + 1 : 1 };
      yield entry;
    }
  }
}

/** A log that is followed goes on when a node that knew the workload is back, until the workload is gone or `signal` aborts. */
export async function* wholeLog(
  engine: () => Engine,
  id: string,
  clock: Clock,
  options: LogOptions & { signal: AbortSignal },
): AsyncGenerator<LogEntry> {
  const { follow = false, signal } = options;
  if (follow) await engine().inspect(id, { signal });
  const reader = new LogReader(engine, id);
  for (let goes = 1; ; goes++) {
    try {
      return yield* reader.read(options);
    } catch (error) {
      if (goes > 1 && isEruError(error, 'not_found')) return; // removed while its node was away
      if (!follow || !isUnanswered(error)) throw error;
    }
    await clock.sleep(logAgainMs, signal);
  }
}

/** A node's daemon, or its engine, may be away for a while. */
export function isUnanswered(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
}
