import { backoff, EruError, type Clock, type Logger } from '@eru/kit';

import { cgroupPath } from '../process/bundle.ts';
import { readLimits, type CgroupTree } from '../cgroups/cgroup.ts';
import { Following } from './following.ts';
import { thaw } from '../cgroups/freezer.ts';
import { KeptStatus } from './kept-status.ts';
import type { Place } from '../process/launcher.ts';
import { wantedLimits, type WantedLimits } from '../cgroups/limits.ts';
import type { LogLimits } from '../logs/log-files.ts';
import { checkNamespace, networkPlace } from '../networks/network-wishes.ts';
import type { AttachedNetwork, Neighbour, WorkloadNetworks } from '../networks/workload-networks.ts';
import { decideRestart, pauseAfter } from './restart.ts';
import { chooseRun, Run, type RunEnd, type RunStart } from '../process/run.ts';
import type { Serial } from '../serial.ts';
import { parseSignal } from '../process/signals.ts';
import type { WorkloadStatus } from './workload-folder.ts';

export interface LifeOptions {
  place: Place;
  status: WorkloadStatus;
  /** Absent where no process has a network of its own. */
  networks: WorkloadNetworks | undefined;
  /** The one whose place it takes, while that is there. */
  before: () => Neighbour | undefined;
  logLimits: LogLimits;
  clock: Clock;
  logger: Logger;
  emit: (type: 'started' | 'exited' | 'paused' | 'resumed') => void;
}

/**
 * The runs of one workload, one after the other: launched, followed, ended, restarted by its policy, taken up from an earlier
 * daemon. All but `close` are called in the workload's turns; what it hears of by itself takes a turn of its own.
 */
export class LifeCycle {
  readonly kept: KeptStatus;
  readonly following: Following;
  readonly #options: LifeOptions;
  readonly #turns: Serial;
  #restarting: { cancel(): void } | undefined;
  #closed = false;

  constructor(options: LifeOptions, turns: Serial) {
    const { clock, logLimits, status, place } = options;
    this.#options = options;
    this.#turns = turns;
    this.kept = new KeptStatus(place.folder, place.record.spec.name, status);
    this.following = new Following(clock, place.folder.exit, { limits: logLimits, now: () => clock.now() });
  }

  get #status(): WorkloadStatus {
    return this.kept.now;
  }

  /** Goes on from what the last daemon has written, and from what has happened since. */
  async adopt(): Promise<void> {
    const { phase, run } = this.#status;
    if (phase === 'running') {
      this.#follow();
      return this.look();
    }
    if (phase === 'starting') return this.#adoptLaunch();
    // It ended, and the daemon died before everything of it was cleared away.
    if (run !== null) {
      await this.#takeOverOutput();
      await this.clear();
    }
    if (phase === 'restarting') this.#scheduleRestart();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#restarting?.cancel();
    await this.following.close();
  }

  /** A daemon died between the decision to start and the knowledge that it runs. */
  async #adoptLaunch(): Promise<void> {
    const { machine } = this.#options.place;
    try {
      if (this.#status.run?.bootId !== machine.bootId) return await this.look();
      const start = await this.run.resume();
      if (start === 'nothing') await this.launch({});
      else await this.#started(start);
    } catch (error) {
      this.#options.logger.warn(
        { err: error, workload: this.#options.place.record.id },
        'a launch could not be completed',
      );
      if (this.#status.phase === 'starting') await this.#failed(error);
    }
  }

  /** `change` is written together with the decision to start. */
  async launch(change: Partial<WorkloadStatus>): Promise<void> {
    this.#restarting?.cancel();
    await this.clear();
    const run = chooseRun(this.#options.place.machine, this.#options.place.record.spec);
    await this.kept.write({ ...change, phase: 'starting', run, error: '' });
    try {
      const network = await this.#attach();
      if (network !== undefined) await this.kept.save({ run: { ...run, network } });
      await this.#started(await this.run.launch(this.limits));
    } catch (error) {
      await this.#failed(error);
      throw error;
    }
  }

  /** The namespace of its run. */
  async #attach(): Promise<AttachedNetwork | undefined> {
    const { place, networks, before } = this.#options;
    const [netns = ''] = Object.keys(place.record.spec.networks);
    const { interfaces = [] } = this.#status;
    switch (networkPlace(place.record.spec)) {
      case 'path':
        checkNamespace(netns);
        return { netns, addresses: { [netns]: '' }, nameservers: [], search: [] };
      case 'networks':
        if (networks === undefined)
          throw new EruError('unsupported', 'networks: this node daemon runs without networks; start it with --netd');
        return networks.attach(place.record, interfaces, before());
      case 'host':
      case 'none':
        return undefined;
    }
  }

  async #started({ main, atMs }: RunStart): Promise<void> {
    const effective = readLimits(this.#cgroups, this.#group) ?? this.#status.effective;
    await this.kept.write({
      phase: 'running',
      startedAtMs: atMs,
      run: { ...this.#status.run!, ...(main !== undefined && { main }) },
      effective,
    });
    this.#options.emit('started');
    this.#follow();
    if (main === undefined) await this.look();
  }

  /** A launch that came to nothing leaves nothing. */
  async #failed(error: unknown): Promise<void> {
    await this.#takeOverOutput();
    await this.kept.write({
      phase: 'exited',
      exitCode: 127,
      finishedAtMs: this.#options.clock.now(),
      error: EruError.from(error).message,
    });
    await this.clear();
  }

  #follow(): void {
    const { logger } = this.#options;
    const look = (): void =>
      void this.#turns
        .run(() => this.look())
        .catch((error: unknown) =>
          logger.error({ err: error, workload: this.#options.place.record.id }, 'cannot follow a workload'),
        );
    this.following.begin(this.run, look);
  }

  /** Has it ended? Then its end is written, and its policy asked. */
  async look(): Promise<void> {
    const { phase } = this.#status;
    if (phase !== 'running' && phase !== 'starting') return;
    const end = await this.run.ended();
    if (end !== undefined) await this.#ended(end);
  }

  async #ended({ code: exitCode, oomKilled, atMs: finishedAtMs, error }: RunEnd): Promise<void> {
    const { logger } = this.#options;
    const status = this.#status;
    await this.#takeOverOutput();
    const decision =
      status.wanted === 'running'
        ? decideRestart(this.#options.place.record.spec.restart, {
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
      await this.kept.save(end);
      await this.clear();
    } catch (cause) {
      // A full disk: what its supervisor has left stays, for the daemon that can write it down.
      logger.error({ err: cause, workload: this.#options.place.record.id }, 'the end of a workload cannot be kept');
      this.kept.assume(end);
    }
    this.kept.tell();
    this.#options.emit('exited');
    if (decision.restart) this.#scheduleRestart();
  }

  /** Its pause counts from its end, whichever daemon saw it. */
  #scheduleRestart(): void {
    const { clock, logger } = this.#options;
    const { failures, finishedAtMs } = this.#status;
    const pauseMs = Math.max(0, Math.min(pauseAfter(failures), finishedAtMs + pauseAfter(failures) - clock.now()));
    this.#restarting?.cancel();
    this.#restarting = clock.timer(
      pauseMs,
      () =>
        void this.#turns
          .run(() => this.#restart())
          .catch((error: unknown) =>
            logger.warn({ err: error, workload: this.#options.place.record.id }, 'cannot restart a workload'),
          ),
    );
  }

  async #restart(): Promise<void> {
    if (this.#closed || this.#status.phase !== 'restarting') return;
    const { restarts, attempts } = this.#status;
    try {
      await this.launch({ restarts: restarts + 1, attempts: attempts + 1 });
    } catch (error) {
      // It could not even be started: for its policy that is an end like another, so that a full disk is outlived.
      const { failures, exitCode } = this.#status;
      const ended = { exitCode, lastedMs: 0, failures, attempts: attempts + 1 };
      const decision = decideRestart(this.#options.place.record.spec.restart, ended);
      if (!decision.restart) throw error;
      await this.kept
        .write({ phase: 'restarting', failures: decision.failures })
        .finally(() => this.#scheduleRestart());
    }
  }

  /** Ends what runs: the stop signal, and after the grace time KILL to everything of it. */
  async end(graceMs: number): Promise<void> {
    const { clock } = this.#options;
    if (this.#status.phase === 'restarting') {
      this.#restarting?.cancel();
      await this.kept.write({ phase: 'exited' });
    }
    const { stopSignal } = this.#options.place.record.spec;
    if (this.#status.phase === 'running' && graceMs > 0)
      await this.signal(parseSignal(stopSignal === '' ? 'TERM' : stopSignal, 'stop_signal'));
    // What is paused acts on nothing.
    if (this.#status.phase === 'running') thaw(this.#cgroups, this.#group);
    const limit = clock.monotonic() + graceMs;
    for (let attempt = 1; this.#status.phase === 'running' || this.#status.phase === 'starting'; attempt++) {
      await this.look();
      if (this.#status.phase !== 'running' && this.#status.phase !== 'starting') return;
      const left = limit - clock.monotonic();
      if (left <= 0) this.run.kill();
      await clock.sleep(Math.min(100, left > 0 ? left : 100, backoff(attempt, { baseMs: 2 })));
    }
  }

  async signal(number: number): Promise<void> {
    await this.run.signal(number, (change) => this.kept.write({ run: { ...this.#status.run!, ...change } }));
  }

  /** What a run leaves with runc, in the cgroups and in its folder. */
  async clear(): Promise<void> {
    if (this.#status.run === null) return;
    this.following.leave();
    await this.run.clear();
    await this.detach().catch((error: unknown) =>
      this.#options.logger.warn(
        { err: error, workload: this.#options.place.record.id },
        'a namespace could not be cleared away; the network daemon does it later',
      ),
    );
    // Kept in memory only: a later daemon clears once more, which finds nothing.
    this.kept.assume({ run: null });
  }

  async detach(): Promise<void> {
    const { place, networks } = this.#options;
    if (networkPlace(place.record.spec) === 'networks') await networks?.detach(place.record);
  }

  /** All that a run has said is in the log. */
  async #takeOverOutput(): Promise<void> {
    try {
      await this.following.finish(this.run);
    } catch (error) {
      const { logger } = this.#options;
      logger.error(
        { err: error, workload: this.#options.place.record.id },
        'the end of the output of a workload is lost',
      );
    }
  }

  get limits(): WantedLimits {
    return wantedLimits(this.#status.engineParams, this.#options.place.record.spec.pids).limits;
  }

  /** Where the present run is. */
  get place(): Place {
    return { ...this.#options.place, network: this.#status.run?.network };
  }

  get run(): Run {
    const { place, clock } = this.#options;
    return new Run(this.place, this.#status.run ?? chooseRun(place.machine, place.record.spec), clock);
  }

  get #cgroups(): CgroupTree {
    return this.#options.place.machine.cgroups;
  }

  get #group(): string {
    return cgroupPath(this.#options.place.record.id);
  }
}
