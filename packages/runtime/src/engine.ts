import {
  limitsOf,
  type CallOptions,
  type Engine,
  type EngineEvent,
  type EngineInfo,
  type EngineParams,
  type ExecSpec,
  type ExitState,
  type FencedOptions,
  type LogEntry,
  type LogOptions,
  type Session,
  type WorkloadSpec,
  type WorkloadState,
  type WorkloadStats,
} from '@eru/engines';
import { EruError, invalid, lockFolder, type Clock, type Logger, type Random } from '@eru/kit';
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { cgroupPath } from './bundle.ts';
import { limitWrites, makeGroup, readLimits, readUsage, removeEmptyGroup, removeGroup, writeLimits } from './cgroup.ts';
import { EventRing } from './events.ts';
import { findProgram } from './host-view.ts';
import { asUser, defaultPath, environmentOf, rlimitsOf, rootOf } from './launch.ts';
import { shownLimits, wantedLimits, type WantedLimits } from './limits.ts';
import { readLog } from './log-reader.ts';
import { systemMachineId, type Machine } from './machine.ts';
import { choosePorts } from './ports.ts';
import { probe } from './probe.ts';
import { pipeSession, terminalSession } from './session.ts';
import { resolveUser } from './user.ts';
import { freshStatus, WorkloadFolders, type WorkloadRecord } from './workload-folder.ts';
import { Workload } from './workload.ts';

export interface ProcessEngineOptions {
  /** Holds every workload; owned by one daemon at a time. */
  folder: string;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** What to do with a limit that this machine cannot enforce: refuse the workload, or run it and show the limit as not effective. */
  unenforced: 'refuse' | 'allow';
}

/** Bare processes under runc, or, where runc cannot be used, as plain processes in sessions of their own. */
export async function createProcessEngine(options: ProcessEngineOptions): Promise<Engine> {
  const { folder, random } = options;
  const machine = await probe(path.join(folder, 'probe'), random);
  const lock = await lockFolder(path.join(folder, 'probe'), 'runtime');
  const engine = new ProcessEngine(options, machine, () => lock.release());
  await engine.adopt();
  return engine;
}

class ProcessEngine implements Engine {
  readonly #options: ProcessEngineOptions;
  readonly #machine: Machine;
  readonly #folders: WorkloadFolders;
  readonly #events: EventRing;
  readonly #workloads = new Map<string, Workload>();
  readonly #release: () => Promise<void>;
  /** Creations take turns: names and ports are chosen among what is there. */
  #creating: Promise<unknown> = Promise.resolve();

  constructor(options: ProcessEngineOptions, machine: Machine, release: () => Promise<void>) {
    this.#options = options;
    this.#machine = machine;
    this.#release = release;
    this.#folders = new WorkloadFolders(path.join(options.folder, 'workloads'));
    this.#events = new EventRing(options.clock, options.random.hex(8));
  }

  /** Takes up everything that an earlier daemon has left: what runs, what has ended, what a reboot has ended. */
  async adopt(): Promise<void> {
    const { workloads, broken } = await this.#folders.load();
    for (const id of broken)
      this.#options.logger.error({ workload: id }, 'the files of a workload are damaged; it is left alone');
    for (const { record, status } of workloads) this.#workloads.set(record.id, this.#workload(record, status));
    await Promise.all([...this.#workloads.values()].map((workload) => workload.adopt()));
  }

  info(): Promise<EngineInfo> {
    const { cores, offers, missing } = this.#machine;
    return Promise.resolve({
      type: 'process',
      id: systemMachineId() ?? os.hostname(),
      cpus: cores,
      memoryBytes: os.totalmem(),
      storageBytes: 0,
      resources: {},
      offers,
      missing,
    });
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  create(spec: WorkloadSpec, options: FencedOptions = {}): Promise<WorkloadState> {
    const created = this.#creating.then(() => this.#create(spec, options));
    this.#creating = created.catch(() => {}); // Its caller hears of it; the next one starts anyway.
    return created;
  }

  async #create(spec: WorkloadSpec, { revision = 0 }: FencedOptions): Promise<WorkloadState> {
    const known = [...this.#workloads.values()].find(({ record }) => record.spec.name === spec.name);
    if (known !== undefined) {
      if (known.record.spec.labels['eru.operation'] === spec.labels['eru.operation']) return known.state();
      throw new EruError('exists', `${spec.name} is there already, made by another operation`);
    }
    const limits = this.#check(spec, spec.engineParams);
    const taken = new Set([...this.#workloads.values()].flatMap(({ ports }) => ports));
    const ports = 'none' in spec.networks ? {} : await choosePorts(spec.publish, taken);
    const { random, clock } = this.#options;
    const record: WorkloadRecord = { version: 1, id: random.hex(64), createdAtMs: clock.now(), spec, ports };
    const effective = await this.#tryLimits(record.id, limits);
    await this.#folders.create(record, { ...freshStatus, revision, engineParams: spec.engineParams, effective });
    const workload = this.#workload(record, { ...freshStatus, revision, engineParams: spec.engineParams, effective });
    this.#workloads.set(record.id, workload);
    this.#events.emit('created', record.id, spec.name);
    return workload.state();
  }

  async start(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#get(id).start(options.revision);
  }

  async stop(id: string, options: FencedOptions & { graceMs?: number } = {}): Promise<void> {
    await this.#get(id).stop(options.graceMs, options.revision);
  }

  async kill(id: string, signal: string): Promise<void> {
    await this.#get(id).kill(signal);
  }

  suspend(): Promise<void> {
    return unsupported('suspending processes');
  }

  resume(): Promise<void> {
    return unsupported('resuming processes');
  }

  async remove(id: string, { force = false }: CallOptions & { force?: boolean } = {}): Promise<void> {
    const workload = this.#workloads.get(id);
    if (workload === undefined) return;
    await workload.remove(force);
    await this.#folders.remove(id);
    this.#workloads.delete(id);
    this.#events.emit('removed', id, workload.record.spec.name);
  }

  async inspect(id: string): Promise<WorkloadState> {
    return this.#get(id).state();
  }

  list({ labels = {} }: CallOptions & { labels?: Readonly<Record<string, string>> } = {}): Promise<WorkloadState[]> {
    const wanted = Object.entries(labels);
    const states = [...this.#workloads.values()]
      .filter(({ record }) => wanted.every(([name, value]) => record.spec.labels[name] === value))
      .map((workload) => workload.state());
    return Promise.resolve(states.toSorted((a, b) => (a.name < b.name ? -1 : 1)));
  }

  events(options: CallOptions & { after?: string } = {}): AsyncIterable<EngineEvent> {
    return this.#events.read(options);
  }

  async wait(id: string, { signal }: CallOptions = {}): Promise<ExitState> {
    return this.#get(id).wait(signal);
  }

  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<LogEntry> {
    const workload = this.#get(id);
    await workload.takeOverLog();
    yield* readLog(workload.folder.log, options, workload.gone);
  }

  async exec(id: string, spec: ExecSpec): Promise<Session> {
    const workload = this.#get(id);
    const { record } = workload;
    if (!workload.isRunning) throw new EruError('precondition', `${record.spec.name} is not running`);
    if (spec.command.length === 0) throw invalid('command', '', 'give a command to run');
    const dir = spec.dir === '' ? record.spec.dir : spec.dir;
    const env = [...environmentOf(record), ...spec.env];
    const { runc } = this.#machine;
    const make = spec.tty ? terminalSession : pipeSession;
    if (runc === undefined) {
      const user = { ...record.spec, user: spec.user === '' ? record.spec.user : spec.user };
      const variables = Object.fromEntries(
        env.map((variable) => variable.split(/=(.*)/s).slice(0, 2) as [string, string]),
      );
      return make([...asUser(this.#machine, user, dir), ...spec.command], spec, variables);
    }
    const { uid, gid } = resolveUser(spec.user === '' ? record.spec.user : spec.user, rootOf(record.spec));
    const flags = [
      ...env.flatMap((variable) => ['--env', variable]),
      '--cwd',
      dir === '' ? '/' : dir,
      '--user',
      `${uid}:${gid}`,
    ];
    return make(
      [runc, '--root', this.#runcRoot, 'exec', ...(spec.tty ? ['--tty'] : []), ...flags, id, ...spec.command],
      spec,
    );
  }

  attach(): Promise<Session> {
    return unsupported('attaching to processes');
  }

  copyTo(): Promise<void> {
    return unsupported('copying files into processes');
  }

  // oxlint-disable-next-line require-yield
  async *copyFrom(): AsyncGenerator<Uint8Array> {
    await unsupported('copying files out of processes');
  }

  async update(id: string, engineParams: EngineParams, { revision }: FencedOptions = {}): Promise<WorkloadState> {
    const workload = this.#get(id);
    const limits = this.#check(workload.record.spec, engineParams);
    await workload.update(engineParams, limits, revision);
    this.#events.emit('updated', id, workload.record.spec.name);
    return workload.state();
  }

  async stats(id: string): Promise<WorkloadStats> {
    this.#get(id);
    const usage = readUsage(this.#machine.cgroups, cgroupPath(id));
    const none = { cpuSeconds: 0, memoryBytes: 0, pids: 0, cpuThrottledSeconds: 0, oomKills: 0 };
    return { atMs: this.#options.clock.now(), ...(usage ?? none) };
  }

  networkConnect(): Promise<string[]> {
    return unsupported('connecting processes to networks');
  }

  networkDisconnect(): Promise<void> {
    return unsupported('disconnecting processes from networks');
  }

  networkList(): Promise<[]> {
    return unsupported('listing networks');
  }

  imageList(): Promise<[]> {
    return unsupported('images');
  }

  async *imagePull(): AsyncGenerator<never> {
    yield await unsupported('images');
  }

  async *imagePush(): AsyncGenerator<never> {
    yield await unsupported('images');
  }

  imageRemove(): Promise<string[]> {
    return unsupported('images');
  }

  imagePrune(): Promise<void> {
    return unsupported('images');
  }

  async *imageBuild(): AsyncGenerator<never> {
    yield await unsupported('images');
  }

  raw(): Promise<Uint8Array> {
    return unsupported('raw operations');
  }

  async close(): Promise<void> {
    this.#events.close();
    await Promise.all([...this.#workloads.values()].map((workload) => workload.close()));
    if (this.#workloads.size === 0) await removeEmptyGroup(this.#machine.cgroups, path.dirname(cgroupPath('none')));
    await this.#release();
  }

  get #runcRoot(): string {
    return path.join(this.#options.folder, 'runc');
  }

  #workload(record: WorkloadRecord, status: ConstructorParameters<typeof Workload>[0]['status']): Workload {
    const { clock, logger, folder } = this.#options;
    return new Workload({
      record,
      status,
      machine: this.#machine,
      folder: this.#folders.of(record.id),
      runcRoot: this.#runcRoot,
      hidden: [folder],
      clock,
      logger,
      emit: (type) => this.#events.emit(type, record.id, record.spec.name),
    });
  }

  #get(id: string): Workload {
    const workload = this.#workloads.get(id);
    if (workload === undefined) throw new EruError('not_found', `no workload ${id} here`);
    return workload;
  }

  /** Everything that can be refused before anything is made. */
  #check(spec: WorkloadSpec, engineParams: EngineParams): WantedLimits {
    const { machine, refuse } = { machine: this.#machine, refuse: this.#options.unenforced === 'refuse' };
    if (spec.image !== '')
      throw new EruError(
        'unsupported',
        `image: this node runs processes and has no images; leave image ${JSON.stringify(spec.image)} out and give commands`,
      );
    if (spec.command.length === 0) throw invalid('commands', '', 'a process needs a command');
    const foreign = Object.keys(spec.networks).find((name) => name !== 'host' && name !== 'none');
    if (foreign !== undefined)
      throw new EruError('unsupported', `networks: ${foreign} is not known here; processes have host or none`);
    if (spec.stdin) throw new EruError('unsupported', 'open_stdin: processes have no stdin yet');
    const root = rootOf(spec);
    if (!existsSync(root)) throw invalid('root', root, 'there is no such folder on the node');
    resolveUser(spec.user, root);
    rlimitsOf(spec);
    const [program = ''] = spec.command;
    if (findProgram(program, defaultPath, spec.dir, root) === undefined) {
      throw invalid(
        'commands',
        program,
        `there is no such program on the node (looked in ${program.includes('/') ? root : defaultPath})`,
      );
    }
    for (const { source } of spec.mounts)
      if (!existsSync(source)) throw invalid('mounts', source, 'there is no such file or folder on the node');
    if (
      machine.runc === undefined &&
      (spec.root.type === 'folder' || spec.root.writable || 'none' in spec.networks || spec.mounts.length > 0)
    ) {
      throw new EruError(
        'unsupported',
        'roots, private layers, mounts and empty networks need runc, which cannot be used here',
      );
    }
    const { limits, beyond } = wantedLimits(engineParams, spec.pids);
    if (beyond.length > 0) throw new EruError('unsupported', `${beyond.join(', ')} cannot be enforced for processes`);
    if (limits.cpuset?.some((core) => core >= machine.cores) === true)
      throw invalid('cpuset', limits.cpuset.join(','), `this node has cores 0 to ${machine.cores - 1}`);
    const missing = Object.keys(shownLimits(limits)).filter(
      (limit) => machine.cgroups.mounts[controllerOf[limit] ?? 'memory'] === undefined,
    );
    if (missing.length > 0 && refuse)
      throw new EruError(
        'unsupported',
        `${missing.join(', ')} cannot be limited on this node: its cgroups cannot be written`,
      );
    return limits;
  }

  /** Writes the limits to a group for the moment, so that what the kernel refuses or rounds is known at once. */
  async #tryLimits(id: string, limits: WantedLimits): Promise<ReturnType<typeof limitsOf>> {
    const { cgroups } = this.#machine;
    const group = cgroupPath(id);
    try {
      await makeGroup(cgroups, group);
      await writeLimits(cgroups, group, limitWrites(cgroups, limits));
      return readLimits(cgroups, group) ?? {};
    } finally {
      await removeGroup(cgroups, group);
    }
  }
}

const controllerOf: Readonly<Record<string, 'cpu' | 'memory' | 'pids' | 'cpuset'>> = {
  cpu: 'cpu',
  memoryBytes: 'memory',
  pids: 'pids',
  cpuset: 'cpuset',
  memoryNodes: 'cpuset',
};

function unsupported(what: string): Promise<never> {
  return Promise.reject(new EruError('unsupported', `${what} is not supported by the process engine yet`));
}
