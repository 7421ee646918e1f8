import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import type { Random } from './random.ts';
import { systemRandom } from './random.ts';

export interface RetryOptions {
  /** Calls in all; the default never gives up. */
  attempts?: number;
  /** First pause, doubled after each attempt up to `maxMs`; the pause taken is uniform in [half, whole] of it. */
  baseMs?: number;
  maxMs?: number;
  signal?: AbortSignal;
  clock?: Clock;
  random?: Random;
  /** False ends the retries at once with this error. */
  retryable?: (error: unknown) => boolean;
  /** Told before each pause. */
  onRetry?: (error: unknown, attempt: number, pauseMs: number) => void;
}

/** Calls `attempt` until it succeeds, gives up, or is aborted; the last error is thrown as it was. */
export async function retry<T>(attempt: (count: number) => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { attempts = Number.POSITIVE_INFINITY, signal, clock = systemClock, retryable = () => true } = options;
  for (let count = 1; ; count++) {
    signal?.throwIfAborted();
    try {
      return await attempt(count);
    } catch (error) {
      if (count >= attempts || signal?.aborted || !retryable(error)) throw error;
      const pauseMs = backoff(count, options);
      options.onRetry?.(error, count, pauseMs);
      await clock.sleep(pauseMs, signal);
    }
  }
}

/** The pause before attempt `count + 1`. */
export function backoff(count: number, options: Pick<RetryOptions, 'baseMs' | 'maxMs' | 'random'> = {}): number {
  const { baseMs = 100, maxMs = 10_000, random = systemRandom } = options;
  const whole = Math.min(maxMs, baseMs * 2 ** Math.min(count - 1, 30));
  return whole / 2 + (random.next() * whole) / 2;
}
