import type { Clock } from '@eru/kit';

/** When leases end. Only in memory: after a restart each has its full time to live again. */
export class LeaseTimes {
  readonly #clock: Clock;
  readonly #onExpire: (id: string) => void;
  readonly #ends = new Map<string, { ttlMs: number; at: number }>();
  #timer: { at: number; cancel(): void } | undefined;

  constructor(clock: Clock, onExpire: (id: string) => void) {
    this.#clock = clock;
    this.#onExpire = onExpire;
  }

  /** Begins a lease. */
  set(id: string, ttlMs: number): void {
    const at = this.#clock.monotonic() + ttlMs;
    this.#ends.set(id, { ttlMs, at });
    if (this.#timer === undefined || at < this.#timer.at) this.#arm(at);
  }

  /** Begins its time anew and answers its length; undefined when it has ended. */
  renew(id: string): number | undefined {
    const lease = this.#ends.get(id);
    if (lease === undefined) return undefined;
    lease.at = this.#clock.monotonic() + lease.ttlMs;
    return lease.ttlMs;
  }

  drop(id: string): void {
    this.#ends.delete(id);
  }

  has(id: string): boolean {
    return this.#ends.has(id);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#ends.clear();
  }

  /** One timer for all: renewals only move ends away, so it is set again when it fires. */
  #arm(at: number): void {
    this.#timer?.cancel();
    const timer = this.#clock.timer(Math.max(0, at - this.#clock.monotonic()), () => this.#fire());
    this.#timer = { at, cancel: () => timer.cancel() };
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.monotonic();
    let next = Number.POSITIVE_INFINITY;
    for (const [id, { at }] of this.#ends) {
      if (at > now) next = Math.min(next, at);
      else {
        this.#ends.delete(id);
        this.#onExpire(id);
      }
    }
    if (next !== Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
