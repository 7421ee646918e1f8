import type { Clock } from '@eru/kit';

/** A pause that can be cut short. A ring while nobody waits is kept for the next wait. */
export class Bell {
  readonly #clock: Clock;
  #rung = false;
  #nap: AbortController | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#rung = true;
    this.#nap?.abort();
  }

  /** Resolves after `ms` (true), or at a ring (false); rejects with the signal's reason. */
  async wait(ms: number, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const nap = new AbortController();
    const end = (): void => nap.abort();
    signal.addEventListener('abort', end, { once: true });
    this.#nap = nap;
    try {
      if (!this.#rung) await this.#clock.sleep(ms, nap.signal);
    } catch (error) {
      if (!nap.signal.aborted) throw error;
    } finally {
      this.#nap = undefined;
      signal.removeEventListener('abort', end);
    }
    signal.throwIfAborted();
    const lapsed = !this.#rung;
    this.#rung = false;
    return lapsed;
  }
}
