import { EruError } from '@eru/kit';
import type { Clock, Random } from '@eru/kit';

import type { EngineVerb } from '../call-limit.ts';
import { callLimitMs, waitFor } from '../call-limit.ts';
import type { CallOptions } from '../engine.ts';

/**
 * Called at every engine call: `before` its effect, and `after` it, before the answer leaves (streams: before the first
 * item, and before the end). Throwing before = refused, or lost on the way; throwing after = the effect stands, the reply
 * is lost; waiting = a slow machine; never resolving = silence, until the caller's deadline. An effect that was only
 * delayed still comes after the caller has gone.
 */
export type FaultHook = (verb: EngineVerb, phase: 'before' | 'after') => void | Promise<void>;

/** Mutable on purpose: tests change the weather while clients hold engines. */
export interface Weather {
  faults: FaultHook | undefined;
  latency: { minMs: number; maxMs: number };
  unsupported: ReadonlySet<EngineVerb>;
}

/** The way from one client to the machine and back: latency, faults, deadlines. */
export class SimulatedCall {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #weather: Weather;
  readonly #closed: AbortSignal;

  constructor(clock: Clock, random: Random, weather: Weather, closed: AbortSignal) {
    this.#clock = clock;
    this.#random = random;
    this.#weather = weather;
    this.#closed = closed;
  }

  async unary<T>(
    verb: EngineVerb,
    options: (CallOptions & { graceMs?: number }) | undefined,
    effect: () => T | Promise<T>,
  ): Promise<T> {
    const work = (async () => {
      await this.enter(verb);
      const answer = await effect();
      await this.leave(verb);
      return answer;
    })();
    const timeoutMs = callLimitMs(verb, options?.timeoutMs, options?.graceMs);
    return waitFor(work, verb, { timeoutMs, signal: this.signal(options) }, this.#clock);
  }

  /** Aborts when the caller goes away or its engine is closed. */
  signal(options: CallOptions | undefined): AbortSignal {
    return options?.signal === undefined ? this.#closed : AbortSignal.any([options.signal, this.#closed]);
  }

  async enter(verb: EngineVerb): Promise<void> {
    if (this.#closed.aborted) throw new EruError('canceled', 'the engine is closed');
    if (this.#weather.unsupported.has(verb))
      throw new EruError('unsupported', `this simulated machine is told to lack ${verb}`);
    await this.#travel();
    await this.#weather.faults?.(verb, 'before');
  }

  async leave(verb: EngineVerb): Promise<void> {
    await this.#weather.faults?.(verb, 'after');
    await this.#travel();
  }

  /** One way; half of the latency. */
  async #travel(): Promise<void> {
    const { minMs, maxMs } = this.#weather.latency;
    if (maxMs > 0) await this.#clock.sleep((minMs + this.#random.next() * (maxMs - minMs)) / 2);
  }
}
