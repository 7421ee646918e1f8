import type { EngineParams, ExecSpec, ExitState, Limits, RunState, WorkloadState, WorkloadStats } from '@eru/engines';
import { backoff, EruError, type Clock, type Logger } from '@eru/kit';

import { cgroupPath } from './bundle.ts';
import { limitWrites, readLimits, tryLimits, writeLimits } from './cgroup.ts';
import { FolderWatch } from './folder-watch.ts';
import type { Command, Place } from './launcher.ts';
import { shownLimits, wantedLimits, type WantedLimits } from './limits.ts';
import type { LogLimits } from './log-files.ts';
import { decideRestart, pauseAfter } from './restart.ts';
import { chooseRun, Run, type RunEnd, type RunStart } from './run.ts';
import { Serial } from './serial.ts';
import { parseSignal } from './signals.ts';
import type { Output } from './supervisor.ts';
import type { WorkloadFolder, WorkloadRecord, WorkloadStatus } from './workload-folder.ts';

export interface WorkloadOptions {
  place: Place;
  status: WorkloadStatus;
  logLimits: LogLimits;
  clock: Clock;
  logger: Logger;
  emit: (type: 'started' | 'exited') => void;
}

const defaultGraceMs = 10_000;
/** Notifications may be missing on some file systems; then this is how late an end is seen. */
const safetyMs = 2_000;

/** One workload: its verbs take turns, its ends are heard of, its policy is kept. */
export class Workload {
  readonly record: WorkloadRecord;
  readonly folder: WorkloadFolder;
  readonly #options: WorkloadOptions;
  readonly #turns = new Serial();
  readonly #gone = new AbortController();
  readonly #changed = new Set<() => void>();
  #status: WorkloadStatus;
  #exitWatch: FolderWatch | undefined;
  #timer: { cancel(): void } | undefined;
  #output: Output | undefined;
  #closed = false;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.record = options.place.record;
    this.folder = options.place.folder;
    this.#status = options.status;
  }

  /** Aborts when it is removed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Port numbers that it asked for itself. */
  get fixedPorts(): number[] {
    return this.record.spec.publish.filter((port) => /^\d+$/.test(port)).map(Number);
  }

  /** Ports that nobody else may have: the chosen ones for as long as it is there, numbers until it has ended, for what replaces it in its place has the same. */
  get heldPorts(): number[] {
    return [...Object.values(this.record.ports), ...(this.#status.phase === 'exited' ? [] : this.fixedPorts)];
  }

  state(): WorkloadState {
    const { record } = this;
    const { spec } = record;
    const status = this.#status;
    const running = status.phase === 'running';
    return {
      id: record.id,
      name: spec.name,
      labels: spec.labels,
      image: spec.image,
      user: spec.user,
      state: shownPhase(status),
      pid: running ? (status.run?.main?.pid ?? 0) : 0,
      createdAtMs: record.createdAtMs,
      startedAtMs: status.startedAtMs,
      restarts: status.restarts,
      limits: {
        requested: shownLimits(wantedLimits(status.engineParams, spec.pids).limits),
        effective: this.#effective(),
      },
      networks: running && !('none' in spec.networks) ? { host: '127.0.0.1' } : {},
      ports: record.ports,
      revision: status.revision,
      ...this.#exit(),
    };
  }

  /** Takes note of a right that carries no effect; refuses an outdated one. */
  allow(revision?: number): Promise<void> {
    return this.#turns.run(async () => this.#fence(revision));
  }

  start(revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#fence(revision);
      if (this.#status.phase === 'running') await this.#look();
      if (this.#status.phase === 'running') return;
      await this.#launch({ wanted: 'running', attempts: 0, failures: 0 });
    });
  }

  stop(graceMs = defaultGraceMs, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#fence(revision);
      await this.#write({ wanted: 'stopped' });
      await this.#end(graceMs);
    });
  }

  kill(signal: string): Promise<void> {
    const number = parseSignal(signal, 'signal');
    return this.#turns.run(async () => {
      if (this.#status.phase !== 'running')
        throw new EruError('precondition', `${this.record.spec.name} is not running`);
      await this.#signal(number);
    });
  }

  remove(force: boolean, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#fence(revision);
      if (this.#status.phase === 'running' && !force)
        throw new EruError('precondition', `${this.record.spec.name} is running; stop it first, or remove it by force`);
      // A disk that is full must not keep a workload from being removed.
      await this.#write({ wanted: 'stopped' }).catch(() => {});
      await this.#end(0);
      await this.#clear();
      this.#gone.abort();
      await this.close();
      this.#tell();
    });
  }

  update(engineParams: EngineParams, limits: WantedLimits, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#fence(revision);
      const { cgroups } = this.#options.place.machine;
      const group = cgroupPath(this.record.id);
      if (this.#status.phase !== 'running') {
        const effective = await tryLimits(cgroups, group, limits);
        return this.#write({ engineParams, effective });
      }
      const before = this.#limits();
      try {
        await writeLimits(cgroups, group, limitWrites(cgroups, limits, before));
      } catch (error) {
        // All or nothing: what was written of it goes back.
        await writeLimits(cgroups, group, limitWrites(cgroups, before, limits)).catch(() => {});
        throw error;
      }
      await this.#write({ engineParams, effective: readLimits(cgroups, group) ?? {} });
    });
  }

  /** The command that runs one more beside it. */
  async exec(spec: ExecSpec): Promise<Command> {
    if (this.#status.phase !== 'running') throw new EruError('precondition', `${this.record.spec.name} is not running`);
    return this.#run().launcher.exec(this.#options.place, spec);
  }

  usage(): Omit<WorkloadStats, 'atMs'> {
    return this.#run().usage();
  }

  async wait(signal?: AbortSignal): Promise<ExitState> {
    const ended = (): boolean => this.#status.phase === 'exited' || this.#gone.signal.aborted;
    while (!ended()) {
      await new Promise<void>((resolve, reject) => {
        const done = (): void => {
          this.#changed.delete(done);
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        const stop = (): void => {
          this.#changed.delete(done);
          reject(EruError.from(signal?.reason));
        };
        if (signal?.aborted) return stop();
        this.#changed.add(done);
        signal?.addEventListener('abort', stop, { once: true });
      });
    }
    return this.#exit();
  }

  async takeOverLog(): Promise<void> {
    await this.#output?.drain();
  }

  /** Goes on from what the last daemon has written, and from what has happened since. */
  adopt(): Promise<void> {
    return this.#turns.run(async () => {
      const { phase, run } = this.#status;
      if (phase === 'running') {
        this.#follow();
        return this.#look();
      }
      if (phase === 'starting') return this.#adoptLaunch();
      // It ended, and the daemon died before everything of it was cleared away.
      if (run !== null) {
        await this.#takeOverOutput();
        await this.#clear();
      }
      if (phase === 'restarting') this.#scheduleRestart();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#exitWatch?.close();
    this.#timer?.cancel();
    await this.#output?.close();
  }

  /** A daemon died between the decision to start and the knowledge that it runs. */
  async #adoptLaunch(): Promise<void> {
    const { machine } = this.#options.place;
    try {
      if (this.#status.run?.bootId !== machine.bootId) return await this.#look();
      const start = await this.#run().resume();
      if (start === 'nothing') await this.#launch({});
      else await this.#started(start);
    } catch (error) {
      this.#options.logger.warn({ err: error, workload: this.record.id }, 'a launch could not be completed');
      if (this.#status.phase === 'starting') await this.#failed(error);
    }
  }

  /** `change` is written together with the decision to start. */
  async #launch(change: Partial<WorkloadStatus>): Promise<void> {
    this.#timer?.cancel();
    await this.#clear();
    const run = chooseRun(this.#options.place.machine);
    await this.#write({ ...change, phase: 'starting', run, error: '' });
    try {
      await this.#started(await this.#run().launch(this.#limits()));
    } catch (error) {
      await this.#failed(error);
      throw error;
    }
  }

  async #started({ main, atMs }: RunStart): Promise<void> {
    const { place } = this.#options;
    const effective = readLimits(place.machine.cgroups, cgroupPath(this.record.id)) ?? this.#status.effective;
    await this.#write({
      phase: 'running',
      startedAtMs: atMs,
      run: { ...this.#status.run!, ...(main !== undefined && { main }) },
      effective,
    });
    this.#options.emit('started');
    this.#follow();
    if (main === undefined) await this.#look();
  }

  /** A launch that came to nothing leaves nothing. */
  async #failed(error: unknown): Promise<void> {
    await this.#takeOverOutput();
    await this.#write({
      phase: 'exited',
      exitCode: 127,
      finishedAtMs: this.#options.clock.now(),
      error: EruError.from(error).message,
    });
    await this.#clear();
  }

  /** Hears of the exit file, and keeps the log; a slow look catches what was not told. */
  #follow(): void {
    const { place, clock, logger, logLimits } = this.#options;
    const look = (): void =>
      void this.#turns
        .run(() => this.#look())
        .catch((error: unknown) => logger.error({ err: error, workload: this.record.id }, 'cannot follow a workload'));
    this.#exitWatch?.close();
    this.#exitWatch = new FolderWatch(place.folder.exit, 0, look);
    this.#output ??= this.#run().output({ limits: logLimits, now: () => clock.now() });
    this.#output.watch();
    const again = (): void => {
      if (this.#closed || this.#status.phase !== 'running') return;
      look();
      this.#timer = clock.timer(safetyMs, again);
    };
    this.#timer?.cancel();
    this.#timer = clock.timer(safetyMs, again);
  }

  /** Has it ended? Then its end is written, and its policy asked. */
  async #look(): Promise<void> {
    const { phase } = this.#status;
    if (phase !== 'running' && phase !== 'starting') return;
    const end = await this.#run().ended();
    if (end !== undefined) await this.#ended(end);
  }

  async #ended({ code: exitCode, oomKilled, atMs: finishedAtMs, error }: RunEnd): Promise<void> {
    const { logger } = this.#options;
    const status = this.#status;
    await this.#takeOverOutput();
    const decision =
      status.wanted === 'running'
        ? decideRestart(this.record.spec.restart, {
            exitCode,
            lastedMs: finishedAtMs - status.startedAtMs,
            failures: status.failures,
            attempts: status.attempts,
          })
        : { restart: false as const };
    // Written before anything of the run is cleared away: a daemon that dies in between is told how it ended.
    const end = {
      phase: decision.restart ? 'restarting' : 'exited',
      exitCode,
      oomKilled,
      finishedAtMs,
      error,
      ...(decision.restart && { failures: decision.failures }),
    } as const;
    try {
      await this.#save(end);
      await this.#clear();
    } catch (cause) {
      // A full disk: what its supervisor has left stays, for the daemon that can write it down.
      logger.error({ err: cause, workload: this.record.id }, 'the end of a workload cannot be kept');
      this.#status = { ...this.#status, ...end };
    }
    this.#tell();
    this.#options.emit('exited');
    if (decision.restart) this.#scheduleRestart();
  }

  /** Its pause counts from its end, whichever daemon saw it. */
  #scheduleRestart(): void {
    const { clock, logger } = this.#options;
    const { failures, finishedAtMs } = this.#status;
    const pauseMs = Math.max(0, Math.min(pauseAfter(failures), finishedAtMs + pauseAfter(failures) - clock.now()));
    this.#timer?.cancel();
    this.#timer = clock.timer(
      pauseMs,
      () =>
        void this.#turns
          .run(() => this.#restart())
          .catch((error: unknown) =>
            logger.warn({ err: error, workload: this.record.id }, 'cannot restart a workload'),
          ),
    );
  }

  async #restart(): Promise<void> {
    if (this.#closed || this.#status.phase !== 'restarting') return;
    const { restarts, attempts } = this.#status;
    try {
      await this.#launch({ restarts: restarts + 1, attempts: attempts + 1 });
    } catch (error) {
      // It could not even be started: for its policy that is an end like another, so that a full disk is outlived.
      const { failures, exitCode } = this.#status;
      const ended = { exitCode, lastedMs: 0, failures, attempts: attempts + 1 };
      const decision = decideRestart(this.record.spec.restart, ended);
      if (!decision.restart) throw error;
      await this.#write({ phase: 'restarting', failures: decision.failures }).finally(() => this.#scheduleRestart());
    }
  }

  /** Ends what runs: the stop signal, and after the grace time KILL to everything of it. */
  async #end(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    if (this.#status.phase === 'restarting') {
      this.#timer?.cancel();
      await this.#write({ phase: 'exited' });
    }
    const { stopSignal } = this.record.spec;
    if (this.#status.phase === 'running' && graceMs > 0)
      await this.#signal(parseSignal(stopSignal === '' ? 'TERM' : stopSignal, 'stop_signal'));
    const limit = clock.monotonic() + graceMs;
    for (let attempt = 1; this.#status.phase === 'running' || this.#status.phase === 'starting'; attempt++) {
      await this.#look();
      if (this.#status.phase !== 'running' && this.#status.phase !== 'starting') return;
      const left = limit - clock.monotonic();
      if (left <= 0) this.#run().kill();
      await clock.sleep(Math.min(100, left > 0 ? left : 100, backoff(attempt, { baseMs: 2 })));
    }
  }

  async #signal(number: number): Promise<void> {
    await this.#run().signal(number, (change) => this.#write({ run: { ...this.#status.run!, ...change } }));
  }

  /** What a run leaves with runc, in the cgroups and in its folder. */
  async #clear(): Promise<void> {
    if (this.#status.run === null) return;
    this.#exitWatch?.close();
    await this.#run().clear();
    // Kept in memory only: a later daemon clears once more, which finds nothing.
    this.#status = { ...this.#status, run: null };
  }

  /** All that a run has said is in the log. */
  async #takeOverOutput(): Promise<void> {
    const { clock, logLimits, logger } = this.#options;
    const output = this.#output ?? this.#run().output({ limits: logLimits, now: () => clock.now() });
    this.#output = undefined;
    try {
      await output.drain();
    } catch (error) {
      logger.error({ err: error, workload: this.record.id }, 'the end of the output of a workload is lost');
    }
    await output.close();
  }

  #limits(): WantedLimits {
    return wantedLimits(this.#status.engineParams, this.record.spec.pids).limits;
  }

  /** What the kernel holds while it runs, else what it held last; of that, what was asked for. */
  #effective(): Limits {
    const asked = Object.keys(this.#limits());
    const { phase, effective } = this.#status;
    const group = cgroupPath(this.record.id);
    const read = phase === 'running' ? readLimits(this.#options.place.machine.cgroups, group) : undefined;
    return Object.fromEntries(Object.entries(read ?? effective).filter(([name]) => asked.includes(name)));
  }

  #run(): Run {
    const { place, clock } = this.#options;
    return new Run(place, this.#status.run ?? chooseRun(place.machine), clock);
  }

  #exit(): ExitState {
    const { exitCode, oomKilled, finishedAtMs, error } = this.#status;
    return { exitCode, oomKilled, finishedAtMs, error };
  }

  /** Refuses an effect whose right is older than one that the object has seen. */
  #fence(revision: number | undefined): void {
    if (revision === undefined) return;
    if (revision < this.#status.revision) {
      throw new EruError(
        'fenced',
        `${this.record.spec.name}: revision ${revision} is older than ${this.#status.revision}`,
      );
    }
    this.#status = { ...this.#status, revision };
  }

  async #write(change: Partial<WorkloadStatus>): Promise<void> {
    await this.#save(change);
    this.#tell();
  }

  async #save(change: Partial<WorkloadStatus>): Promise<void> {
    const status = { ...this.#status, ...change };
    await this.folder.writeStatus(status);
    this.#status = status;
  }

  #tell(): void {
    for (const told of this.#changed) told();
  }
}

/** A start that is under way shows what was before it. */
function shownPhase({ phase, startedAtMs }: WorkloadStatus): RunState {
  if (phase !== 'starting') return phase;
  return startedAtMs === 0 ? 'created' : 'restarting';
}
