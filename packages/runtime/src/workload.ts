import type { EngineParams, ExitState, Limits, RunState, WorkloadState } from '@eru/engines';
import { backoff, EruError, isErrno, readIfExists, run, type Clock, type Logger } from '@eru/kit';
import { watch, type FSWatcher } from 'node:fs';
import { rm } from 'node:fs/promises';
import { constants } from 'node:os';

import { cgroupPath } from './bundle.ts';
import { groupProcesses, limitWrites, readLimits, readOomKills, removeGroup, writeLimits } from './cgroup.ts';
import { exitFile, launch, pidFile } from './launch.ts';
import { shownLimits, wantedLimits, type WantedLimits } from './limits.ts';
import { LogSpool } from './log-spool.ts';
import type { Machine } from './machine.ts';
import { dispositionOf, findProcesses, identify, isAlive, sendSignal } from './process-identity.ts';
import { decideRestart } from './restart.ts';
import { Serial } from './serial.ts';
import { endsByDefault, parseSignal } from './signals.ts';
import type { WorkloadFolder, WorkloadRecord, WorkloadStatus } from './workload-folder.ts';

export interface WorkloadOptions {
  record: WorkloadRecord;
  status: WorkloadStatus;
  machine: Machine;
  folder: WorkloadFolder;
  runcRoot: string;
  hidden: readonly string[];
  clock: Clock;
  logger: Logger;
  emit: (type: 'started' | 'exited') => void;
}

const defaultGraceMs = 10_000;
/** How long a command may take from its launch to being there. */
const launchMs = 30_000;
/** Notifications may be missing on some file systems; then this is how late an end is seen. */
const safetyMs = 2_000;
const logLimits = { maxBytes: 10 * 2 ** 20, files: 5 };

/** One workload: its verbs take turns, its ends are heard of, its policy is kept. */
export class Workload {
  readonly record: WorkloadRecord;
  readonly folder: WorkloadFolder;
  readonly #options: WorkloadOptions;
  readonly #turns = new Serial();
  readonly #gone = new AbortController();
  readonly #changed = new Set<() => void>();
  #status: WorkloadStatus;
  #watcher: FSWatcher | undefined;
  #timer: { cancel(): void } | undefined;
  #spool: LogSpool | undefined;
  #closed = false;

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.record = options.record;
    this.folder = options.folder;
    this.#status = options.status;
  }

  /** Aborts when it is removed. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get isRunning(): boolean {
    return this.#status.phase === 'running';
  }

  /** Ports that are spoken for, also while it is stopped. */
  get ports(): number[] {
    const numbers = this.record.spec.publish.filter((port) => /^\d+$/.test(port)).map(Number);
    return [...Object.values(this.record.ports), ...numbers];
  }

  state(): WorkloadState {
    const { record } = this;
    const { spec } = record;
    const status = this.#status;
    const running = status.phase === 'running';
    const phase: RunState = status.phase === 'starting' ? 'created' : status.phase;
    return {
      id: record.id,
      name: spec.name,
      labels: spec.labels,
      image: spec.image,
      user: spec.user,
      state: phase,
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

  start(revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#fence(revision);
      if (this.#status.phase === 'running') return;
      await this.#write({ wanted: 'running', attempts: 0, failures: 0, error: '' });
      await this.#launch();
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

  remove(force: boolean): Promise<void> {
    return this.#turns.run(async () => {
      if (this.#status.phase === 'running' && !force)
        throw new EruError('precondition', `${this.record.spec.name} is running; stop it first, or remove it by force`);
      await this.#write({ wanted: 'stopped' });
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
      const { cgroups } = this.#options.machine;
      if (this.#status.phase === 'running') {
        await writeLimits(cgroups, cgroupPath(this.record.id), limitWrites(cgroups, limits, this.#limits()));
      }
      await this.#write({ engineParams });
      const effective = this.#effective();
      await this.#write({ effective: this.#status.phase === 'running' ? effective : shownLimits(limits) });
    });
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
    await this.#spool?.drain();
  }

  /** Goes on from what the last daemon has written, and from what has happened since. */
  adopt(): Promise<void> {
    return this.#turns.run(async () => {
      const { phase, wanted, run: last } = this.#status;
      this.#openSpool();
      if (phase === 'running' || phase === 'starting') {
        const { bootId } = this.#options.machine;
        if (phase === 'starting' && last?.bootId === bootId && (await this.#isThere())) await this.#settleLaunch();
        else this.#watch();
        await this.#look();
      } else if (wanted === 'running' && phase === 'restarting') await this.#launch();
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.cancel();
    await this.#spool?.close();
  }

  async #launch(): Promise<void> {
    const { machine, runcRoot, hidden } = this.#options;
    await this.#clear();
    await this.#write({
      phase: 'starting',
      run: { launcher: machine.runc === undefined ? 'plain' : 'runc', supervisor: 'shell', bootId: machine.bootId },
    });
    try {
      await launch({ machine, folder: this.folder, record: this.record, limits: this.#limits(), runcRoot, hidden });
      await this.#settleLaunch();
    } catch (error) {
      await this.#write({
        phase: 'exited',
        run: null,
        exitCode: 127,
        finishedAtMs: this.#options.clock.now(),
        error: EruError.from(error).message,
      });
      throw error;
    }
  }

  /** Waits until the command is there, or has ended already. */
  async #settleLaunch(): Promise<void> {
    const { clock, machine } = this.#options;
    this.#openSpool();
    const limit = clock.monotonic() + launchMs;
    for (let pauseMs = 2; ; pauseMs = Math.min(50, pauseMs * 1.5)) {
      const pid = Number((await readIfExists(pidFile(this.folder))) ?? Number.NaN);
      const main = pid > 0 ? identify(pid, machine.bootId) : undefined;
      if (main !== undefined) {
        await this.#write({
          phase: 'running',
          startedAtMs: clock.now(),
          run: { ...this.#run(), main },
          oomKilled: false,
          error: '',
        });
        await this.#write({ effective: this.#effective() });
        this.#options.emit('started');
        this.#watch();
        return;
      }
      const code = await this.#exitCode();
      if (code !== undefined && pid > 0) {
        await this.#write({ phase: 'running', startedAtMs: clock.now() });
        this.#options.emit('started');
        await this.#look();
        return;
      }
      if (code !== undefined)
        throw new EruError('failed', `${this.record.spec.name} did not start: ${await this.#complaint()}`);
      if (clock.monotonic() > limit)
        throw new EruError('timeout', `${this.record.spec.name} did not start within ${launchMs / 1000} s`);
      await clock.sleep(pauseMs);
    }
  }

  /** Hears of the exit file; a slow look catches what was not told. */
  #watch(): void {
    this.#watcher?.close();
    const look = (): void =>
      void this.#turns
        .run(() => this.#look())
        .catch((error: unknown) =>
          this.#options.logger.error({ err: error, workload: this.record.id }, 'cannot follow a workload'),
        );
    try {
      this.#watcher = watch(this.folder.run, (_event, name) => {
        if (name === 'exit') look();
      });
      this.#watcher.on('error', () => {}); // The slow look goes on.
    } catch (error) {
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOSPC')) throw error;
    }
    const again = (): void => {
      if (this.#closed || this.#status.phase !== 'running') return;
      look();
      this.#timer = this.#options.clock.timer(safetyMs, again);
    };
    this.#timer?.cancel();
    this.#timer = this.#options.clock.timer(safetyMs, again);
  }

  /** Has it ended? Then its end is written, and its policy asked. */
  async #look(): Promise<void> {
    const { phase, run: last } = this.#status;
    if (phase !== 'running' && phase !== 'starting') return;
    const { machine } = this.#options;
    let code = await this.#exitCode();
    if (code === undefined) {
      if (last?.main !== undefined && isAlive(last.main, machine.bootId)) return;
      if (last?.bootId === machine.bootId && (await this.#isThere())) {
        // The command has just ended; its supervisor writes the code in a moment.
        await this.#options.clock.sleep(200);
        code = await this.#exitCode();
      }
    }
    await this.#ended(
      code ?? 255,
      code === undefined ? 'its end was not seen: the machine was restarted, or its supervisor killed' : '',
    );
  }

  async #ended(code: number, error: string): Promise<void> {
    const { clock, machine } = this.#options;
    const status = this.#status;
    const oomKilled =
      code === 137 &&
      status.run?.bootId === machine.bootId &&
      readOomKills(machine.cgroups, cgroupPath(this.record.id)) > 0;
    const sent = status.run?.endedBySignal;
    const exitCode = sent !== undefined && code === 137 && !oomKilled ? 128 + sent : code;
    await this.#spool?.drain();
    const finishedAtMs = clock.now();
    const decision =
      status.wanted === 'running'
        ? decideRestart(this.record.spec.restart, {
            exitCode,
            lastedMs: finishedAtMs - status.startedAtMs,
            failures: status.failures,
            attempts: status.attempts,
          })
        : { restart: false as const };
    await this.#clear();
    await this.#write({
      phase: decision.restart ? 'restarting' : 'exited',
      run: null,
      exitCode,
      oomKilled,
      finishedAtMs,
      error,
    });
    this.#options.emit('exited');
    if (!decision.restart) return;
    await this.#write({ failures: decision.failures });
    this.#timer?.cancel();
    this.#timer = clock.timer(decision.pauseMs, () => void this.#turns.run(() => this.#restart()).catch(() => {})); // Its state says why.
  }

  async #restart(): Promise<void> {
    if (this.#closed || this.#status.phase !== 'restarting' || this.#status.wanted !== 'running') return;
    const { restarts, attempts } = this.#status;
    await this.#write({ restarts: restarts + 1, attempts: attempts + 1 });
    await this.#launch();
  }

  /** Ends what runs: the stop signal, and after the grace time KILL to everything of it. */
  async #end(graceMs: number): Promise<void> {
    const { clock, machine } = this.#options;
    this.#timer?.cancel();
    if (this.#status.phase === 'restarting') await this.#write({ phase: 'exited' });
    if (this.#status.phase === 'running' && graceMs > 0)
      await this.#signal(
        parseSignal(this.record.spec.stopSignal === '' ? 'TERM' : this.record.spec.stopSignal, 'stop_signal'),
      );
    const limit = clock.monotonic() + graceMs;
    for (let attempt = 1; this.#status.phase === 'running' || this.#status.phase === 'starting'; attempt++) {
      if ((await this.#exitCode()) !== undefined) await this.#look();
      else if (this.#status.run?.main === undefined || !isAlive(this.#status.run.main, machine.bootId))
        await this.#look();
      else {
        if (clock.monotonic() >= limit) for (const pid of this.#processes()) sendSignal(pid, constants.signals.SIGKILL);
        await clock.sleep(Math.min(100, backoff(attempt, { baseMs: 5 })));
      }
    }
  }

  /** The first process of a pid namespace is spared the kernel's default action: it is carried out for the kernel. */
  async #signal(number: number): Promise<void> {
    const { main, launcher } = this.#run();
    if (main === undefined || !isAlive(main, this.#options.machine.bootId)) return;
    const spared = launcher === 'runc' && endsByDefault(number) && dispositionOf(main.pid, number) === 'default';
    if (spared) await this.#write({ run: { ...this.#run(), endedBySignal: number } });
    sendSignal(main.pid, spared ? constants.signals.SIGKILL : number);
  }

  /** All of it: what its group holds, and what its session holds where it has no group. */
  #processes(): number[] {
    const { main } = this.#run();
    const inGroup = groupProcesses(this.#options.machine.cgroups, cgroupPath(this.record.id));
    const session = main === undefined ? undefined : findProcesses((pid) => pid === main.pid);
    return [...new Set([...inGroup, ...(session ?? [])])];
  }

  /** What a run leaves with runc and in the cgroups. */
  async #clear(): Promise<void> {
    const { machine, runcRoot } = this.#options;
    await this.#spool?.drain();
    await this.#spool?.close();
    this.#spool = undefined;
    if (machine.runc !== undefined) await run(machine.runc, ['--root', runcRoot, 'delete', '--force', this.record.id]);
    for (const pid of groupProcesses(machine.cgroups, cgroupPath(this.record.id)))
      sendSignal(pid, constants.signals.SIGKILL);
    for (let attempt = 1; ; attempt++) {
      try {
        await removeGroup(machine.cgroups, cgroupPath(this.record.id));
        break;
      } catch (error) {
        // Killed processes leave their group a moment later.
        if (attempt > 50) throw error;
        await this.#options.clock.sleep(20);
      }
    }
    await rm(this.folder.run, { recursive: true, force: true });
  }

  #openSpool(): void {
    const { machine, clock } = this.#options;
    this.#spool ??= new LogSpool({
      folder: this.folder.run,
      log: this.folder.log,
      limits: logLimits,
      now: () => clock.now(),
      fallocate: machine.tools.fallocate,
    });
    this.#spool.watch();
  }

  async #exitCode(): Promise<number | undefined> {
    const text = await readIfExists(exitFile(this.folder));
    return text === undefined || text.trim() === '' ? undefined : Number(text);
  }

  async #isThere(): Promise<boolean> {
    return (
      (await readIfExists(pidFile(this.folder))) !== undefined ||
      findProcesses((pid) => pid === this.#status.run?.main?.pid).length > 0
    );
  }

  /** The last line that a launch has printed. */
  async #complaint(): Promise<string> {
    const text = (await readIfExists(`${this.folder.run}/stderr`)) ?? '';
    return text.trim().split('\n').at(-1) ?? 'it said nothing';
  }

  #limits(): WantedLimits {
    return wantedLimits(this.#status.engineParams, this.record.spec.pids).limits;
  }

  /** What the kernel holds while it runs, else what it held last; of that, what was asked for. */
  #effective(): Limits {
    const asked = Object.keys(this.#limits());
    const read =
      (this.#status.phase === 'running'
        ? readLimits(this.#options.machine.cgroups, cgroupPath(this.record.id))
        : undefined) ?? this.#status.effective;
    return Object.fromEntries(Object.entries(read).filter(([name]) => asked.includes(name)));
  }

  #run(): NonNullable<WorkloadStatus['run']> {
    const { bootId, runc } = this.#options.machine;
    return this.#status.run ?? { launcher: runc === undefined ? 'plain' : 'runc', supervisor: 'shell', bootId };
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
    this.#status = { ...this.#status, ...change };
    await this.folder.writeStatus(this.#status);
    this.#tell();
  }

  #tell(): void {
    for (const told of this.#changed) told();
  }
}
