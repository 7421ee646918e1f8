import type { EngineEvent } from '@eru/engines';
import type { Random } from '@eru/kit';
import { backoff, EruError, isEruError } from '@eru/kit';

import { Bell } from './bell.ts';
import type { WatchContext } from './watched.ts';
import { Watched } from './watched.ts';

/** Pauses before a broken event stream or a failed listing is tried again. */
const again = { baseMs: 250, maxMs: 5_000 };

export interface WatchOptions extends WatchContext {
  /** Labels of the workloads that are ours. */
  labels: Readonly<Record<string, string>>;
  random: Random;
  /** All of them, each time they are listed. */
  onListed: (ids: ReadonlySet<string>) => void;
}

/**
 * All workloads of the node: subscribes first, then lists, so that nothing started in between is missed (reference/agent.md
 * section 7, DEFECT), lists again whenever the stream had to be opened anew, and looks at everything each interval.
 */
export class Watch {
  readonly #options: WatchOptions;
  readonly #bell: Bell;
  readonly #watched = new Map<string, Watched>();

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
  }

  /** Until aborted; rejects when nothing is under way any more. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      await Promise.all([this.#follow(signal), this.#sweeps(signal)]);
    } finally {
      await Promise.all([...this.#watched.values()].map((watched) => watched.closed()));
    }
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { clock, engine, logger, random } = this.#options;
    let cursor: string | undefined;
    for (let failures = 0; ;) {
      try {
        for await (const event of engine.events({ signal, ...(cursor !== undefined && { after: cursor }) })) {
          cursor = event.cursor;
          failures = 0;
          this.#event(event, signal);
        }
      } catch (error) {
        if (isEruError(error, 'compacted')) cursor = undefined;
        else if (!signal.aborted) logger.warn({ err: EruError.from(error) }, 'the event stream of the engine broke');
      }
      signal.throwIfAborted();
      failures += 1;
      await clock.sleep(backoff(failures, { ...again, random }), signal);
    }
  }

  #event(event: EngineEvent, signal: AbortSignal): void {
    if (event.type === 'ready') this.#bell.ring();
    else this.#of(event.id, signal).changed();
  }

  async #sweeps(signal: AbortSignal): Promise<void> {
    const { engine, labels, logger, random, sweepMs, callLimitMs, onListed } = this.#options;
    let pauseMs = sweepMs;
    for (let failures = 0; ;) {
      await this.#bell.wait(pauseMs, signal);
      try {
        const listed = await engine.list({ labels, signal, timeoutMs: callLimitMs });
        for (const { id } of listed) this.#of(id, signal);
        onListed(new Set(listed.map(({ id }) => id)));
        // Those that were not listed too: their inspection tells whether they are gone.
        for (const watched of this.#watched.values()) watched.sweep();
        failures = 0;
        pauseMs = sweepMs;
      } catch (error) {
        signal.throwIfAborted();
        failures += 1;
        pauseMs = Math.min(sweepMs, backoff(failures, { ...again, random }));
        logger.warn({ err: EruError.from(error) }, 'the workloads could not be listed');
      }
    }
  }

  #of(id: string, signal: AbortSignal): Watched {
    const known = this.#watched.get(id);
    if (known !== undefined) return known;
    const watched = new Watched(id, { ...this.#options, onGone: (gone) => this.#gone(gone) }, signal);
    this.#watched.set(id, watched);
    return watched;
  }

  #gone(id: string): void {
    this.#watched.delete(id);
    this.#options.onGone(id);
  }
}
