import type { Engine, WorkloadState } from '@eru/engines';
import type { Clock, Logger, Random } from '@eru/kit';
import { backoff, EruError, isEruError } from '@eru/kit';

import { Bell } from '../bell.ts';
import type { LogCursor } from './cursor.ts';
import { advance, takenBefore } from './cursor.ts';
import type { Lane } from './lane.ts';
import type { LineHead } from './line.ts';
import { headOf, lineOf, textOf } from './line.ts';

/** Before a log that broke off is read again. */
const again = { baseMs: 500, maxMs: 30_000 };

export interface FollowerOptions {
  engine: Engine;
  lane: Lane;
  /** Delivered up to here when it begins. */
  cursor: LogCursor;
  /** All of the log is wanted: nobody has forwarded any of it, and it began in our time. */
  whole: boolean;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Write every line into the agent's own log, too. */
  toOwnLog: boolean;
}

/** One workload's log, from its cursor on, into a lane, over restarts of the workload and of its engine's daemon. */
export class LogFollower {
  readonly id: string;
  readonly #options: FollowerOptions;
  readonly #bell: Bell;
  #head: LineHead;
  #cursor: LogCursor;

  constructor(id: string, head: LineHead, options: FollowerOptions) {
    this.id = id;
    this.#head = head;
    this.#options = options;
    this.#cursor = options.cursor;
    this.#bell = new Bell(options.clock);
  }

  /** It has been looked at: its networks may be others, and a log that had ended may go on. */
  seen(state: WorkloadState, pod: string): void {
    this.#head = headOf(state, pod) ?? this.#head;
    this.#bell.ring();
  }

  /** Resolves when the workload is gone and its log is read to the end; rejects when aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#options;
    let trouble = '';
    for (let failures = 0; ;) {
      try {
        const before = this.#cursor.seq;
        await this.#read(signal);
        failures = this.#cursor.seq > before ? 0 : failures + 1;
        trouble = '';
      } catch (error) {
        signal.throwIfAborted();
        if (isEruError(error, 'not_found')) return;
        failures += 1;
        const { message } = EruError.from(error);
        if (message !== trouble) logger.warn({ id: this.id, trouble: message }, 'its log cannot be read; trying again');
        trouble = message;
      }
      // Some engines end the stream with each run; the next one's start is seen.
      await this.#bell.wait(backoff(failures, { ...again, random }), signal);
      if (failures === 0) await clock.sleep(backoff(1, { ...again, random }), signal);
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { engine, lane, toOwnLog, logger } = this.#options;
    const taken = takenBefore(this.#cursor);
    const from = this.#options.whole && this.#cursor.seq === 0 ? {} : { sinceMs: this.#cursor.atMs };
    for await (const entry of engine.logs(this.id, { follow: true, signal, ...from })) {
      if (entry.lostBytes !== undefined) lane.figures.lostBytes += entry.lostBytes;
      if (taken(entry.atMs)) continue;
      const cursor = advance(this.#cursor, entry.atMs);
      const line = { text: Buffer.from(lineOf(this.#head, entry, cursor.seq)), id: this.id, cursor };
      while (!lane.offer(line)) await lane.room(signal);
      this.#cursor = cursor;
      // The agent's own output would come back for ever.
      if (toOwnLog && this.#head.entrypoint !== 'agent')
        logger.info({ id: this.id, app: this.#head.app, stream: entry.stream }, textOf(entry.data));
    }
  }
}
