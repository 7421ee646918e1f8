import { backoff, EruError, isEruError, Queue, type Clock, type Random } from '@eru/kit';

import type { CallOptions, Engine, EngineEvent } from './engine.ts';

/** Events of all parts before their reader has to be quicker. */
const waiting = 1024;
/** Pauses before the stream of a part that does not answer is opened again. */
const again = { baseMs: 250, maxMs: 5_000 };
/** How long one that does not answer at all holds up the others' events. */
const patienceMs = 5_000;

export interface Part {
  /** As a workload names it. */
  name: string;
  engine: Engine;
}

/**
 * The events of several engines as one stream. Its cursor holds the cursors of all, so that each goes on without a gap. It
 * begins when all parts stand, or all others where one fails or hangs. That one is tried again while the others' events go
 * on; when it stands at last, another `ready` says so: list again.
 */
export async function* mergedEvents(
  parts: readonly Part[],
  options: CallOptions & { after?: string },
  { clock, random }: { clock: Clock; random: Random },
): AsyncGenerator<EngineEvent> {
  const { signal: left, after } = options;
  const cursors = new Map<string, string>(after === undefined ? [] : readCursor(after, parts));
  const over = new AbortController();
  const signal = left === undefined ? over.signal : AbortSignal.any([left, over.signal]);
  const output = new Queue<EngineEvent>(waiting);
  /** Parts of which it is not known yet whether they stand. */
  const open = new Set(parts.map(({ name }) => name));
  const ready = (): Promise<boolean> => output.put({ type: 'ready', cursor: writeCursor(cursors) });
  const allTried = new AbortController();
  const begun = clock
    .sleep(patienceMs, AbortSignal.any([signal, allTried.signal]))
    .catch(() => {})
    .then(() => {
      open.clear();
      return ready();
    });
  /** False for one that was waited for no longer. */
  const tried = (name: string): boolean => {
    const first = open.delete(name);
    if (first && open.size === 0) allTried.abort();
    return first;
  };
  const follow = async ({ name, engine }: Part): Promise<void> => {
    for (let failures = 1; ; failures++) {
      try {
        const cursor = cursors.get(name);
        for await (const event of engine.events({ signal, ...(cursor !== undefined && { after: cursor }) })) {
          failures = 1;
          if (event.type !== 'ready') await begun;
          cursors.set(name, event.cursor);
          if (event.type !== 'ready') await output.put({ ...event, cursor: writeCursor(cursors) });
          else if (!tried(name)) await ready();
        }
      } catch (error) {
        // Events were lost, or the caller has left: its reader has to know.
        if (signal.aborted || !isTransient(error)) throw error;
      }
      if (signal.aborted) throw EruError.from(signal.reason);
      tried(name);
      await clock.sleep(backoff(failures, { ...again, random }), signal);
    }
  };
  for (const part of parts) void follow(part).catch((error: unknown) => output.end(error));
  try {
    yield* output;
  } finally {
    over.abort(new EruError('canceled', 'nobody reads the events any more'));
    output.end();
  }
}

function isTransient(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
}

/** `process=<cursor>&docker=<cursor>`; a part that has not stood yet is not in it. */
function writeCursor(cursors: ReadonlyMap<string, string>): string {
  return new URLSearchParams([...cursors]).toString();
}

/** @throws EruError `compacted` for a cursor that is not of these parts */
function readCursor(text: string, parts: readonly Part[]): [string, string][] {
  const entries = [...new URLSearchParams(text)];
  if (
    entries.length === 0 ||
    entries.some(([name, cursor]) => cursor === '' || !parts.some((part) => part.name === name))
  )
    throw new EruError('compacted', 'this cursor is not of the engines of this node; list again');
  return entries;
}
