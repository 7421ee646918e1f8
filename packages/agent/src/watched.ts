import type { Engine, WorkloadState } from '@eru/engines';
import type { Clock, Logger } from '@eru/kit';
import { EruError, isEruError } from '@eru/kit';

import { probeByCommand } from './exec-probe.ts';
import type { HealthCheck } from './health-check.ts';
import { healthCheckOf } from './health-check.ts';
import type { Health, Probe } from './health.ts';
import { healthWithoutProbes, probesOf } from './health.ts';
import type { RunProbe } from './probe.ts';
import { untilNextStartCheck } from './timing.ts';
import type { Verdict } from './verdict.ts';
import { nextVerdict } from './verdict.ts';

/** After an inspection that failed. */
const inspectAgainMs = 5_000;

type Slots = <T>(run: () => Promise<T>) => Promise<T>;

export interface WatchContext {
  engine: Engine;
  clock: Clock;
  logger: Logger;
  probe: RunProbe;
  sweepMs: number;
  probeLimitMs: number;
  /** Of each call of the engine. */
  callLimitMs: number;
  /** At once on this node: inspections, probes. A hanging probe must not keep the news of an exit. */
  inspections: Slots;
  probes: Slots;
  /** Ours, by its labels. */
  mine: (state: WorkloadState) => boolean;
  /** It has been looked at; its probes may take a while. */
  onSeen: (state: WorkloadState) => void;
  onChecked: (state: WorkloadState, health: Health) => void;
  /** There is no such workload (any more), or it is not ours. */
  onGone: (id: string) => void;
}

interface Run {
  readonly startedAtMs: number;
  /** On the monotonic clock. */
  readonly firstCheckMs: number;
  readonly check: HealthCheck | undefined;
  /** Its start-up series is on. */
  starting: boolean;
  verdict: Verdict | undefined;
  /** On the monotonic clock, when its probes last began. */
  probedMs: number | undefined;
}

/**
 * One workload. One check at a time, and a check begins with an inspection: whatever an event told, it is the state found
 * after it that is reported, so that nothing stale can overtake (reference/agent.md section 11, DEFECT).
 */
export class Watched {
  readonly id: string;
  readonly #context: WatchContext;
  readonly #signal: AbortSignal;
  #check: AbortController | undefined;
  #done: Promise<void> = Promise.resolve();
  #again = false;
  #timer: { cancel(): void } | undefined;
  #run: Run | undefined;

  constructor(id: string, context: WatchContext, signal: AbortSignal) {
    this.id = id;
    this.#context = context;
    this.#signal = signal;
  }

  /** Something happened to it: what is being found out now may be of before. */
  changed(): void {
    this.#again = this.#check !== undefined;
    if (this.#again) this.#check?.abort();
    else this.#begin();
  }

  /** Nothing is known to have happened: a check under way is as good. */
  sweep(): void {
    if (this.#check === undefined) this.#begin();
  }

  /** Resolves when nothing of it is under way. Only after the signal is aborted. */
  async closed(): Promise<void> {
    this.#timer?.cancel();
    this.#check?.abort();
    await this.#done;
  }

  #begin(): void {
    if (this.#signal.aborted) return;
    this.#timer?.cancel();
    this.#check = new AbortController();
    this.#done = this.#examine(this.#check.signal).finally(() => {
      this.#check = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.#begin();
    });
  }

  /** One check, reported unless it is aborted. */
  async #examine(signal: AbortSignal): Promise<void> {
    const { engine, clock, logger, inspections, callLimitMs, mine, onSeen, onChecked, onGone } = this.#context;
    const beganMs = clock.monotonic();
    try {
      const state = await inspections(() => engine.inspect(this.id, { signal, timeoutMs: callLimitMs }));
      signal.throwIfAborted();
      if (!mine(state)) return onGone(this.id);
      onSeen(state);
      const run = this.#runOf(state, beganMs);
      const health = healthWithoutProbes(state) ?? (await this.#judge(run, state, signal));
      signal.throwIfAborted();
      onChecked(state, health);
      this.#plan(run, state, health);
    } catch (error) {
      if (signal.aborted) return;
      if (isEruError(error, 'not_found')) return onGone(this.id);
      logger.warn({ id: this.id, err: EruError.from(error) }, 'a workload could not be inspected');
      this.#later(inspectAgainMs);
    }
  }

  /** A run that was not known starts a series at this check. */
  #runOf({ startedAtMs, labels }: WorkloadState, nowMs: number): Run {
    if (this.#run?.startedAtMs === startedAtMs) return this.#run;
    const check = healthCheckOf(labels);
    if (check === 'malformed')
      this.#context.logger.warn(
        { id: this.id },
        'its ERU_META or eru.healthcheck label cannot be read; it counts as having no health check',
      );
    this.#run = {
      startedAtMs,
      firstCheckMs: nowMs,
      check: check === 'malformed' ? undefined : check,
      starting: true,
      verdict: undefined,
      probedMs: undefined,
    };
    return this.#run;
  }

  /** A workload with an interval of its own is not asked more often: what was found last stands. */
  async #judge(run: Run, state: WorkloadState, signal: AbortSignal): Promise<Health> {
    const { check, verdict, probedMs } = run;
    if (check === undefined) return { healthy: true, reason: '' };
    const { clock } = this.#context;
    const nowMs = clock.monotonic();
    const own = check.intervalS;
    const fresh = own !== undefined && probedMs !== undefined && nowMs - probedMs < own * 1000 && !run.starting;
    if (fresh && verdict !== undefined) return verdict.health;
    run.probedMs = nowMs;
    const found = await this.#probe(check, state, signal);
    run.verdict = nextVerdict(verdict, found, check, (clock.now() - run.startedAtMs) / 1000);
    return run.verdict.health;
  }

  async #probe(check: HealthCheck, state: WorkloadState, signal: AbortSignal): Promise<Health> {
    const { engine, probe, probes } = this.#context;
    const limitMs = check.timeoutS === undefined ? this.#context.probeLimitMs : check.timeoutS * 1000;
    const wanted = probesOf(check, state);
    if (typeof wanted === 'string') return { healthy: false, reason: wanted };
    const ask = (one: Probe): Promise<Health> =>
      one.type === 'exec' ? probeByCommand(engine, this.id, one.command, limitMs, signal) : probe(one, limitMs, signal);
    const reasons: string[] = [];
    for (const one of wanted) {
      const { healthy, reason } = await probes(() => ask(one));
      signal.throwIfAborted();
      if (!healthy) reasons.push(reason);
    }
    return { healthy: reasons.length === 0, reason: reasons.join('; ') };
  }

  /** The next check: of the start-up series while it is not healthy yet, at its own interval if it has one, else the sweep's. */
  #plan(run: Run, state: WorkloadState, health: Health): void {
    if (health.healthy) run.starting = false;
    if (state.state !== 'running') return;
    const { clock, sweepMs } = this.#context;
    const series = run.starting ? untilNextStartCheck(clock.monotonic() - run.firstCheckMs, sweepMs) : undefined;
    if (series === undefined) run.starting = false;
    const own = run.check?.intervalS === undefined ? undefined : run.check.intervalS * 1000;
    const pauses = [series, own].filter((ms) => ms !== undefined);
    if (pauses.length > 0) this.#later(Math.min(...pauses));
  }

  #later(ms: number): void {
    this.#timer = this.#context.clock.timer(ms, () => this.sweep());
  }
}
