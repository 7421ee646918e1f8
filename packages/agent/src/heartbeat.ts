import type { Engine } from '@eru/engines';
import type { Clock, Logger, Random } from '@eru/kit';
import { backoff, EruError, isEruError } from '@eru/kit';

import { Bell } from './bell.ts';
import type { CoreCalls } from './core-calls.ts';

/** First pause after a failed round; it doubles up to the interval. */
const firstPauseMs = 500;
/** The status outlives three rounds (reference/agent.md section 6). */
const roundsPerTtl = 3;

export interface HeartbeatOptions {
  node: string;
  core: CoreCalls;
  engine: Engine;
  intervalMs: number;
  /** False: nothing is said of the node, but core is asked for it in the same rhythm. */
  beats: boolean;
  /** Of each call. */
  callLimitMs: number;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Finds out what core knows of the node, before anything is said of it. */
  introduce(signal: AbortSignal): Promise<void>;
  /** The node's status had lapsed: core may have written its workloads off. Called before anybody waiting goes on. */
  onReturn(): void;
}

/**
 * Says that the node is alive, for as long as its engine is. It is also the one that tries again when core is away:
 * everybody else waits for it, so that a core that comes back meets one small call per node and not a storm.
 */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #bell: Bell;
  #up = false;
  #introduced = false;
  #waiting: (() => void)[] = [];
  /** On the monotonic clock, when the last status that core took was sent. */
  #aliveAtMs: number | undefined;
  #trouble = 'core and engine have not been asked yet';

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#bell = new Bell(options.clock);
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs, clock, random } = this.#options;
    for (let failures = 0; ;) {
      failures = (await this.#round(signal)) ? 0 : failures + 1;
      const pauseMs = backoff(failures, { baseMs: Math.min(firstPauseMs, intervalMs), maxMs: intervalMs, random });
      const lapsed = await this.#bell.wait(failures === 0 ? intervalMs : pauseMs, signal);
      if (lapsed || failures > 0) continue;
      failures = 1; // Somebody's call has failed since; a pause, or a core that refuses it alone would be asked without end.
      await clock.sleep(backoff(1, { baseMs: Math.min(firstPauseMs, intervalMs), random }), signal);
    }
  }

  /** Resolves when core answers, as far as anybody knows. */
  up(signal: AbortSignal): Promise<void> {
    if (this.#up) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
      if (signal.aborted) abort();
    });
  }

  /** A call to core has failed: find out soon. */
  suspect(): void {
    if (!this.#up) return;
    this.#up = false;
    this.#bell.ring();
  }

  /** Why nobody may be told anything now; empty when all is well. */
  get trouble(): string {
    return this.#trouble;
  }

  /** Core sees the node as not alive at once. One attempt. */
  async leave(): Promise<void> {
    const { core, node, callLimitMs } = this.#options;
    await core.core.setNodeStatus({ nodename: node, ttl: -1n }, { timeoutMs: callLimitMs });
  }

  /** True when core has been told. */
  async #round(signal: AbortSignal): Promise<boolean> {
    const { core, engine, node, intervalMs, clock, beats, callLimitMs } = this.#options;
    const ttlMs = roundsPerTtl * intervalMs;
    let asked = 'engine';
    try {
      await engine.ping({ signal, timeoutMs: callLimitMs });
      asked = 'core';
      if (!this.#introduced) await this.#options.introduce(signal);
      this.#introduced = true;
      const sentAtMs = clock.monotonic();
      const ttl = BigInt(Math.ceil(ttlMs / 1000));
      if (beats) await core.core.setNodeStatus({ nodename: node, ttl }, { signal, timeoutMs: callLimitMs });
      else await core.core.getNode({ nodename: node }, { signal, timeoutMs: callLimitMs });
      const lapsed = this.#aliveAtMs === undefined || sentAtMs - this.#aliveAtMs >= ttlMs;
      this.#aliveAtMs = sentAtMs;
      this.#tell('');
      if (lapsed) this.#options.onReturn();
      this.#up = true;
      for (const resume of this.#waiting.splice(0)) resume();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (isEruError(error, 'not_found')) this.#introduced = false;
      // A silent engine says nothing about core; its node is let lapse (section 6).
      if (asked === 'core') this.#up = false;
      this.#tell(`${asked}: ${EruError.from(error).message}`);
      return false;
    }
  }

  /** Each change once, not each round. */
  #tell(trouble: string): void {
    if (trouble === this.#trouble) return;
    const { logger, node } = this.#options;
    if (trouble === '') logger.info({ node }, 'core and engine answer');
    else logger.warn({ node, trouble }, 'heartbeat failed; trying again until it succeeds');
    this.#trouble = trouble;
  }
}
