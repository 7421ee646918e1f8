import type { ExecSpec, WorkloadSpec, WorkloadStats } from '@eru/engines';
import { EruError, readIfExists, type Clock } from '@eru/kit';
import { existsSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';

import { cgroupPath } from './bundle.ts';
import { groupProcesses, readOomKills, readUsage, removeGroup } from '../cgroups/cgroup.ts';
import { conmonSupervisor } from './conmon.ts';
import { thaw } from '../cgroups/freezer.ts';
import { defaultPath, pidFile, type Command, type Launcher, type Place } from './launcher.ts';
import type { WantedLimits } from '../cgroups/limits.ts';
import { findTool, type Machine } from '../cgroups/machine.ts';
import { markedProcesses, plainLauncher } from './plain.ts';
import {
  dispositionOf,
  identify,
  isAlive,
  readProc,
  sendSignal,
  usageOf,
  type ProcessIdentity,
} from './process-identity.ts';
import { runcLauncher, runtimeName } from './runc.ts';
import { complaintOf, shellSupervisor } from './shell.ts';
import { endsByDefault } from './signals.ts';
import {
  isBeingLaunched,
  isOfRun,
  isSupervised,
  readExit,
  type Output,
  type OutputOptions,
  type Supervisor,
} from './supervisor.ts';
import type { RunRecord } from '../workload/workload-folder.ts';

const launchers: Readonly<Record<RunRecord['launcher'], Launcher>> = { runc: runcLauncher, plain: plainLauncher };
const supervisors: Readonly<Record<RunRecord['supervisor'], Supervisor>> = {
  conmon: conmonSupervisor,
  shell: shellSupervisor,
};

/** How long a command may take from its launch to being there. */
const launchMs = 30_000;
/** How long a supervisor may take from the end of its command to having written the exit code. */
const writtenMs = 5000;

/** What this machine would start a run with now. conmon takes input from sockets of a type that Node cannot open: an open stdin is the shell's. */
export function chooseRun({ runc, conmon, bootId }: Machine, { stdin }: Pick<WorkloadSpec, 'stdin'>): RunRecord {
  if (runc === undefined) return { launcher: 'plain', supervisor: 'shell', bootId };
  const runtime = runtimeName({ runc });
  return { launcher: 'runc', runtime, supervisor: conmon === undefined || stdin ? 'shell' : 'conmon', bootId };
}

export interface RunEnd {
  code: number;
  oomKilled: boolean;
  /** Wall clock, ms. */
  atMs: number;
  /** Empty, or why the code is not the command's own. */
  error: string;
}

/** What a launch has come to. */
export interface RunStart {
  /** Absent when the command has ended already. */
  main?: ProcessIdentity;
  /** Wall clock, ms; not after the first line of output. */
  atMs: number;
}

/** One run of a workload, as its record says it was started: what is on disk and in the kernel, no state of its own. */
export class Run {
  readonly #place: Place;
  readonly #record: RunRecord;
  readonly #clock: Clock;
  readonly #launcher: Launcher;
  readonly #supervisor: Supervisor;

  constructor(place: Place, record: RunRecord, clock: Clock) {
    this.#place = ofRuntime(place, record);
    this.#record = record;
    this.#clock = clock;
    this.#launcher = launchers[record.launcher];
    this.#supervisor = supervisors[record.supervisor];
  }

  /** One more command beside its own. */
  exec(spec: ExecSpec): Promise<Command> {
    return this.#launcher.exec(this.#place, spec);
  }

  /** Starts it on an empty folder. */
  async launch(limits: WantedLimits): Promise<RunStart> {
    const { folder } = this.#place;
    await mkdir(folder.exit, { recursive: true });
    await this.#supervisor.launch(this.#place, this.#launcher, limits);
    return this.#main();
  }

  /** Goes on with a launch that a dead daemon has begun; `nothing` when it had not come to anything. */
  async resume(): Promise<RunStart | 'nothing'> {
    const begun = (): boolean => existsSync(pidFile(this.#place.folder)) || isBeingLaunched(this.#place);
    if (!this.#isThisBoot || (!begun() && (await readExit(this.#place)) === undefined)) return 'nothing';
    await this.#supervisor.resume(this.#place);
    return this.#main();
  }

  get isAlive(): boolean {
    const { main } = this.#record;
    return main !== undefined && isAlive(main, this.#place.machine.bootId);
  }

  /** Undefined while it runs. */
  async ended(): Promise<RunEnd | undefined> {
    let exit = await readExit(this.#place);
    if (exit === undefined && this.isAlive) return undefined;
    // The command has just ended, and its supervisor writes the code in a moment.
    for (let waited = 0; exit === undefined && this.#isThisBoot && waited < writtenMs; waited += 10) {
      const last = !(await isSupervised(this.#place));
      exit = await readExit(this.#place);
      if (exit !== undefined || last) break;
      await this.#clock.sleep(10);
    }
    if (exit === undefined) {
      const error = 'its end was not seen: the machine was restarted, or its supervisor killed';
      return { code: 255, oomKilled: false, atMs: this.#clock.now(), error };
    }
    const oomKilled = exit.code === 137 && this.#wasOutOfMemory();
    const sent = this.#record.endedBySignal;
    const code = sent !== undefined && exit.code === 137 && !oomKilled ? 128 + sent : exit.code;
    return { code, oomKilled, atMs: exit.atMs, error: '' };
  }

  /**
   * Sends a signal to the main process. The first process of a pid namespace is spared the kernel's default action: it is
   * carried out for the kernel, after `before` has noted it.
   */
  async signal(number: number, before: (change: Pick<RunRecord, 'endedBySignal'>) => Promise<void>): Promise<void> {
    const { main } = this.#record;
    if (main === undefined || !this.isAlive) return;
    await this.#becomesCommand(main.pid);
    const spared =
      this.#launcher.kind === 'runc' && endsByDefault(number) && dispositionOf(main.pid, number) === 'default';
    if (spared) await before({ endedBySignal: number });
    const sent = spared ? constants.signals.SIGKILL : number;
    sendSignal(main.pid, sent);
    if (sent === constants.signals.SIGKILL) thaw(this.#place.machine.cgroups, cgroupPath(this.#place.record.id));
  }

  /** The runtime's own first process is let go a moment before it becomes the command; what it is told until then is lost. */
  async #becomesCommand(pid: number): Promise<void> {
    for (let waited = 0; waited < launchMs && this.#isRuntime(pid); waited += 2) await this.#clock.sleep(2);
  }

  /** runc's first process has a name of its own, crun's the words of crun. */
  #isRuntime(pid: number): boolean {
    return (
      readProc(pid, 'cmdline') === 'runc\0init\0' || (this.#record.runtime === 'crun' && isOfRun(pid, this.#place))
    );
  }

  kill(): void {
    for (const pid of this.#processes()) sendSignal(pid, constants.signals.SIGKILL);
    // What is paused dies when it is let go.
    thaw(this.#place.machine.cgroups, cgroupPath(this.#place.record.id));
  }

  usage(): Omit<WorkloadStats, 'atMs'> {
    const group = readUsage(this.#place.machine.cgroups, cgroupPath(this.#place.record.id));
    return group ?? { ...usageOf(this.#processes()), cpuThrottledSeconds: 0, oomKills: 0 };
  }

  output(options: OutputOptions): Output {
    return this.#supervisor.output(this.#place, options);
  }

  /** Ends what is left of it, and removes what it has left with runc, in the cgroups and in its folder. */
  async clear(): Promise<void> {
    const { machine, folder, record } = this.#place;
    await this.#launcher.clear(this.#place);
    for (let attempt = 1; ; attempt++) {
      this.kill();
      const left = await removeGroup(machine.cgroups, cgroupPath(record.id)).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (left === undefined && this.#processes().length === 0) break;
      // Killed processes leave their group a moment later.
      if (attempt > 250) throw left ?? new EruError('failed', `${record.spec.name}: its processes cannot be killed`);
      await this.#clock.sleep(Math.min(20, attempt));
    }
    if (this.#isThisBoot)
      for (let waited = 0; waited < writtenMs && (await isSupervised(this.#place)); waited += 5)
        await this.#clock.sleep(5);
    await rm(folder.run, { recursive: true, force: true });
  }

  /** Waits until the command is there, or has ended already. */
  async #main(): Promise<RunStart> {
    const { folder, machine, record } = this.#place;
    const limit = this.#clock.monotonic() + launchMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(20, pauseMs * 1.5)) {
      const exit = await readExit(this.#place);
      const pid = Number((await readIfExists(pidFile(folder))) ?? Number.NaN);
      const main = pid > 0 ? identify(pid, machine.bootId) : undefined;
      if (pid > 0 && (main !== undefined || exit !== undefined)) {
        // Whoever wrote it let the command go after that.
        const atMs = Math.max(record.createdAtMs, Math.floor((await stat(pidFile(folder))).mtimeMs));
        return main === undefined || exit !== undefined ? { atMs } : { main, atMs };
      }
      if (exit !== undefined)
        throw new EruError('failed', `${record.spec.name} did not start: ${await complaintOf(this.#place)}`);
      if (this.#clock.monotonic() > limit)
        throw new EruError('timeout', `${record.spec.name} did not start within ${launchMs / 1000} s`);
      await this.#clock.sleep(pauseMs);
    }
  }

  #processes(): number[] {
    const { machine, record } = this.#place;
    const inGroup = groupProcesses(machine.cgroups, cgroupPath(record.id));
    const marked = this.#launcher.kind === 'plain' ? markedProcesses(record.id) : [];
    const main = this.isAlive ? [this.#record.main?.pid ?? 0] : [];
    return [...new Set([...main, ...inGroup, ...marked])];
  }

  /** conmon's note outlives a reboot, the kernel's counter a daemon. */
  #wasOutOfMemory(): boolean {
    const { machine, folder, record } = this.#place;
    if (existsSync(path.join(folder.run, 'oom'))) return true;
    return this.#isThisBoot && readOomKills(machine.cgroups, cgroupPath(record.id)) > 0;
  }

  get #isThisBoot(): boolean {
    return this.#record.bootId === this.#place.machine.bootId;
  }
}

/** With the runtime that it was started by, whatever this machine would take now: the other does not know what it has left. */
function ofRuntime(place: Place, { launcher, runtime = 'runc' }: RunRecord): Place {
  const { machine } = place;
  if (launcher === 'plain' || machine.runc === undefined || runtimeName(machine) === runtime) return place;
  return { ...place, machine: { ...machine, runc: findTool(runtime, defaultPath) } };
}
