import { EruError, type Clock } from '@eru/kit';

/** What one caller may do on one address: calls per second in the long run; 0 = as many as it likes. */
export const defaultCallsPerSecond = 1000;

/** Calls at once, in seconds of the long run: what a script that begins does. */
const burstS = 5;

/** Callers that are told apart. Those that come when so many are busy share one measure. */
const mostCallers = 10_000;

/**
 * A token bucket for each caller, kept as the time at which it will be full again: one number, whatever has happened before
 * (the generic cell rate algorithm).
 */
export class RateLimit {
  readonly #clock: Clock;
  readonly #fullAtMs = new Map<string, number>();
  #perSecond: number;

  constructor(clock: Clock, perSecond: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
  }

  /** From now on. */
  set(perSecond: number): void {
    this.#perSecond = perSecond;
  }

  /** @throws EruError `throttled` with `retryAfterMs`, for a call that is one too many; it costs the caller nothing */
  take(caller: string): void {
    if (this.#perSecond === 0) return;
    const costMs = 1000 / this.#perSecond;
    const now = this.#clock.monotonic();
    const key = this.#keyOf(caller, now);
    const fullAtMs = Math.max(now, this.#fullAtMs.get(key) ?? 0) + costMs;
    const waitMs = fullAtMs - now - burstS * 1000;
    // Fractions of a call add up to rounding errors.
    if (waitMs > costMs / 1000) {
      const retryAfterMs = Math.ceil(waitMs);
      throw new EruError(
        'throttled',
        `more than ${this.#perSecond} calls per second; try again in ${retryAfterMs} ms (grpc.max_calls_per_second of core)`,
        { details: { retryAfterMs } },
      );
    }
    this.#fullAtMs.set(key, fullAtMs);
  }

  #keyOf(caller: string, now: number): string {
    if (this.#fullAtMs.has(caller) || this.#fullAtMs.size < mostCallers) return caller;
    // Whose bucket is full is as good as never seen.
    for (const [known, fullAtMs] of this.#fullAtMs) if (fullAtMs <= now) this.#fullAtMs.delete(known);
    return this.#fullAtMs.size < mostCallers ? caller : 'others';
  }
}
