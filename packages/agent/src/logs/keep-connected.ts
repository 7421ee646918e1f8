import { backoff } from '@eru/kit';

import type { TargetContext } from './target.ts';

/** Between two tries; the longest is the original's pause. */
const again = { baseMs: 250, maxMs: 30_000 };

/**
 * Opens a connection again and again until aborted. `open` resolves with what tells of its end, or rejects; `up` is told
 * of each change.
 */
export async function keepConnected(
  { clock, random }: TargetContext,
  signal: AbortSignal,
  open: (signal: AbortSignal) => Promise<{ ended: Promise<void> }>,
  up: (is: boolean) => void,
): Promise<void> {
  for (let failures = 0; ;) {
    signal.throwIfAborted();
    try {
      const { ended } = await open(signal);
      const sinceMs = clock.monotonic();
      up(true);
      await ended;
      up(false);
      // A peer that takes every connection and ends it is not hammered either.
      failures = clock.monotonic() - sinceMs > again.maxMs ? 0 : failures + 1;
    } catch {
      up(false); // It shows in the figures.
      failures += 1;
    }
    signal.throwIfAborted();
    await clock.sleep(backoff(failures, { ...again, random }), signal);
  }
}
