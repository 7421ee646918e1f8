import type { Clock, Logger, Random } from '@eru/kit';
import { backoff, EruError } from '@eru/kit';

import { Bell } from './bell.ts';
import type { CoreCalls } from './core-calls.ts';
import type { Heartbeat } from './heartbeat.ts';
import { Outbox } from './outbox.ts';
import type { Report } from './report.ts';

/** Reports in one call; a full one is some hundred KiB. */
const batchLimit = 256;
/** Between two calls, with as much again at random: what many workloads do at once goes together. */
const gatherMs = 100;
/** The loop looks again at least this often. */
const longestNapMs = 60_000;

export interface ReporterOptions {
  node: string;
  core: CoreCalls;
  heartbeat: Pick<Heartbeat, 'up' | 'suspect'>;
  cacheTtlMs: number;
  /** Of each call. */
  callLimitMs: number;
  clock: Clock;
  random: Random;
  logger: Logger;
}

/** Sends what the outbox holds, one call at a time: what changes meanwhile goes together into the next. */
export class Reporter {
  readonly #options: ReporterOptions;
  readonly #outbox: Outbox;
  readonly #bell: Bell;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#outbox = new Outbox(options.cacheTtlMs, options.random);
    this.#bell = new Bell(options.clock);
  }

  offer(report: Report): void {
    if (this.#outbox.offer(report, this.#options.clock.monotonic())) this.#bell.ring();
  }

  forget(id: string): void {
    this.#outbox.forget(id);
  }

  /** Everything is to be reported anew. */
  reset(): void {
    this.#outbox.reset(this.#options.clock.monotonic());
    this.#bell.ring();
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, heartbeat, random } = this.#options;
    for (let failures = 0; ;) {
      const dueMs = this.#outbox.nextDueMs();
      const napMs = Math.min(longestNapMs, Math.ceil((dueMs ?? Number.POSITIVE_INFINITY) - clock.monotonic()));
      if (napMs > 0) {
        await this.#bell.wait(napMs, signal);
        continue;
      }
      await heartbeat.up(signal);
      const error = await this.#send(signal);
      if (error === undefined) {
        failures = 0;
        await clock.sleep(gatherMs * (1 + random.next()), signal);
        continue;
      }
      failures += 1;
      this.#options.logger.warn({ err: error }, 'core did not take a report; trying again until it does');
      if (error.code === 'unavailable' || error.code === 'timeout') heartbeat.suspect();
      else await clock.sleep(backoff(failures, { baseMs: 1_000, maxMs: longestNapMs, random }), signal);
    }
  }

  async #send(signal: AbortSignal): Promise<EruError | undefined> {
    const { clock, core, node, callLimitMs } = this.#options;
    const batch = this.#outbox.take(batchLimit, clock.monotonic());
    if (batch.reports.length === 0) return undefined;
    try {
      const { unknown } = await core.eru.reportWorkloads(
        { node, reports: batch.reports },
        { signal, timeoutMs: callLimitMs },
      );
      this.#outbox.delivered(batch, new Set(unknown), clock.monotonic());
      return undefined;
    } catch (error) {
      this.#outbox.failed(batch, clock.monotonic());
      signal.throwIfAborted();
      return EruError.from(error);
    }
  }
}
