import { deadline, EruError } from '@eru/kit';
import type { Clock } from '@eru/kit';

import { callLimitMs, type EngineVerb } from '../call-limit.ts';
import type { CallOptions } from '../engine.ts';

/** How long callers wait: their own time or the verb's, and never longer than the engine is open. */
export class Calls {
  readonly #clock: Clock;
  readonly #over = new AbortController();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Aborts when the engine is closed. */
  get closed(): AbortSignal {
    return this.#over.signal;
  }

  close(): void {
    this.#over.abort(new EruError('canceled', 'the engine is closed'));
  }

  /** One call within its time. */
  async within<T>(
    verb: EngineVerb,
    { signal, timeoutMs }: CallOptions,
    work: (signal: AbortSignal) => Promise<T>,
    graceMs = 0,
  ): Promise<T> {
    const left = signal === undefined ? this.closed : AbortSignal.any([signal, this.closed]);
    const limitMs = callLimitMs(verb, timeoutMs, graceMs);
    const limit =
      limitMs === Number.POSITIVE_INFINITY ? { signal: left, clear: () => {} } : deadline(this.#clock, limitMs, left);
    try {
      limit.signal.throwIfAborted();
      return await work(limit.signal);
    } catch (error) {
      throw limit.signal.aborted ? said(limit.signal.reason, verb) : EruError.from(error);
    } finally {
      limit.clear();
    }
  }

  /** A stream that ends with its caller, its reader or the engine. */
  async *stream<T>(
    signal: AbortSignal | undefined,
    open: (signal: AbortSignal) => AsyncIterable<T>,
  ): AsyncGenerator<T> {
    const over = new AbortController();
    const both = AbortSignal.any([over.signal, this.closed, ...(signal === undefined ? [] : [signal])]);
    try {
      both.throwIfAborted();
      for await (const item of open(both)) {
        yield item;
        both.throwIfAborted();
      }
    } catch (error) {
      throw EruError.from(both.aborted ? both.reason : error);
    } finally {
      over.abort();
    }
  }
}

/** What a caller who has left is told. */
function said(reason: unknown, verb: EngineVerb): EruError {
  const error = EruError.from(reason);
  return error.code === 'timeout' ? new EruError('timeout', `${verb}: ${error.message}`, { cause: error }) : error;
}
