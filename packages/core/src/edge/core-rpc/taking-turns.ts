import { limitConcurrency, Queue, type Clock } from '@eru/kit';

/** Items that one source may be ahead of the reader. */
const ahead = 256;

/**
 * Reads sources side by side, some at a time, each into a bounded buffer, and gives what they have one source after the
 * other. A source that pauses for longer than `patienceMs` lets the others pass and goes on later, so that none waits for a
 * slow one. A source may not throw.
 */
export async function* takingTurns<T>(
  sources: readonly AsyncIterable<T>[],
  { clock, patienceMs, width }: { clock: Clock; patienceMs: number; width: number },
): AsyncGenerator<T> {
  let wake = (): void => {};
  const limit = limitConcurrency(width);
  const waiting = new Set<Queue<T>>();
  for (const source of sources) {
    const queue = new Queue<T>(ahead);
    waiting.add(queue);
    void limit(async () => {
      for await (const item of source) {
        if (!(await queue.put(item))) break;
        wake();
      }
      queue.end();
      wake();
    });
  }
  const woken = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = ms === Number.POSITIVE_INFINITY ? undefined : clock.timer(ms, () => resolve());
      wake = () => {
        timer?.cancel();
        resolve();
      };
    });
  const ready = (): Queue<T> | undefined => [...waiting].find((queue) => queue.size > 0);
  let current: Queue<T> | undefined;
  let patience = patienceMs;
  try {
    for (;;) {
      for (const queue of waiting) if (queue.ended && queue.size === 0) waiting.delete(queue);
      if (waiting.size === 0) return;
      if (current === undefined || !waiting.has(current)) current = ready();
      if (current !== undefined && current.size === 0 && patience <= 0) current = ready();
      if (current !== undefined && current.size > 0) {
        patience = patienceMs;
        yield (await current.next()).value as T;
        continue;
      }
      const beganMs = clock.monotonic();
      await woken(current === undefined ? Number.POSITIVE_INFINITY : patience);
      if (current !== undefined) patience -= clock.monotonic() - beganMs;
    }
  } finally {
    for (const queue of waiting) void queue.return();
  }
}
