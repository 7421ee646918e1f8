import {
  addressText,
  callLimitMs,
  waitFor,
  type CallOptions,
  type Engine,
  type EngineEvent,
  type EngineInfo,
  type EngineNetwork,
  type NetworkQuestion,
  type EngineParams,
  type EngineVerb,
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
import {
  deadline,
  EruError,
  invalid,
  limitConcurrency,
  lockFolder,
  type Clock,
  type Json,
  type JsonObject,
  type Logger,
  type Random,
} from '@eru/kit';
import { mkdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { checkLimits } from './workload/admission.ts';
import { cgroupPath } from './process/bundle.ts';
import { removeEmptyGroup, removeGroup } from './cgroups/cgroup.ts';
import { Creation } from './workload/creation.ts';
import { EventRing } from './events.ts';
import { plainOutcome } from './workload/exec-outcome.ts';
import type { LogLimits } from './logs/log-files.ts';
import { readLogLimits } from './logs/log-limits.ts';
import { readLog } from './logs/log-reader.ts';
import { systemMachineId, type Machine, type RuntimeName } from './cgroups/machine.ts';
import { ownerOf } from './networks/network-wishes.ts';
import { probe } from './process/probe.ts';
import { WorkloadNetworks, type Neighbour, type NetworkDaemon } from './networks/workload-networks.ts';
import { Roots } from './files/roots.ts';
import { leaveOn, pipeSession, terminalSession } from './process/session.ts';
import { WorkloadFolders, type WorkloadRecord, type WorkloadStatus } from './workload/workload-folder.ts';
import { Workload } from './workload/workload.ts';
import { readTopology } from './cgroups/topology.ts';
import { WithoutImages } from './without-images.ts';

export interface ProcessEngineOptions {
  /** Holds every workload; owned by one daemon at a time. */
  folder: string;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** What to do with a limit that this machine cannot enforce: refuse the workload, or run it and show the limit as not effective. */
  unenforced: 'refuse' | 'allow';
  /** How much of each workload's output is kept; default 5 files of 10 MiB. */
  log?: LogLimits;
  /** The network daemon of this node; absent: processes have the host's network, or none. */
  networks?: NetworkDaemon;
  /** The OCI runtime that is tried first; default runc. */
  runtime?: RuntimeName;
  /** How the machine is looked at; default `probe`. */
  look?: typeof probe;
}

/** Workloads taken up at once by a new daemon: after a reboot all of them start. */
const adoptedAtOnce = 8;

/** Bare processes under runc, or, where runc cannot be used, as plain processes in sessions of their own. */
export async function createProcessEngine(options: ProcessEngineOptions): Promise<Engine> {
  const { folder, random, runtime, look = probe } = options;
  const trials = path.join(folder, 'probe');
  await mkdir(trials, { recursive: true, mode: 0o700 });
  const lock = await lockFolder(trials, 'runtime');
  try {
    const engine = new ProcessEngine(options, await look(trials, random, runtime), () => lock.release());
    await engine.adopt();
    options.networks?.addSource?.({ kind: 'process', list: async () => engine.owners() });
    return engine;
  } catch (error) {
    await lock.release();
    throw error;
  }
}

class ProcessEngine extends WithoutImages implements Engine {
  readonly #options: ProcessEngineOptions;
  readonly #machine: Machine;
  readonly #folders: WorkloadFolders;
  readonly #creation: Creation;
  readonly #events: EventRing;
  readonly #workloads = new Map<string, Workload>();
  readonly #networks: WorkloadNetworks | undefined;
  readonly #release: () => Promise<void>;

  constructor(options: ProcessEngineOptions, machine: Machine, release: () => Promise<void>) {
    super((id) => void this.#get(id));
    this.#options = options;
    this.#machine = machine;
    this.#release = release;
    this.#networks = options.networks && new WorkloadNetworks(options.networks.service, 'process');
    this.#folders = new WorkloadFolders(path.join(options.folder, 'workloads'));
    this.#events = new EventRing(options.clock, options.random.hex(8));
    this.#creation = new Creation({
      ...options,
      refuses: this.#refuses,
      machine,
      folders: this.#folders,
      roots: new Roots(path.join(options.folder, 'roots')),
      networks: this.#networks,
      workloads: this.#workloads,
      workload: (record, status) => this.#workload(record, status),
      created: ({ id, spec }) => this.#events.emit('created', id, spec.name),
    });
  }

  /** Takes up everything that an earlier daemon has left: what runs, what has ended, what a reboot has ended, what is half done. */
  async adopt(): Promise<void> {
    const { logger } = this.#options;
    const { workloads, broken } = await this.#folders.load((id) =>
      removeGroup(this.#machine.cgroups, cgroupPath(id)).catch(() => {}),
    );
    for (const id of broken) logger.error({ workload: id }, 'the files of a workload are damaged; it is left alone');
    for (const { record, status } of workloads) this.#workloads.set(record.id, this.#workload(record, status));
    // Whose root is whose of what is damaged nobody knows.
    if (broken.length === 0) await this.#creation.dropRoots();
    const turn = limitConcurrency(adoptedAtOnce);
    const adopted = [...this.#workloads.values()].map((workload) =>
      turn(() => workload.adopt()).catch((error: unknown) =>
        logger.error({ err: error, workload: workload.record.id }, 'cannot take up a workload'),
      ),
    );
    await Promise.all(adopted);
  }

  /** Who owns addresses, for the network daemon. */
  owners(): { id: string; owner: string; running: boolean }[] {
    const known = [...this.#workloads.values()].map(({ record, attached }) => ({ record, running: attached }));
    const { making: next } = this.#creation;
    const making = next === undefined ? [] : [{ record: next, running: false }];
    return [...known, ...making].map(({ record: { id, spec }, running }) => ({
      id,
      owner: ownerOf(spec.name),
      running,
    }));
  }

  info(): Promise<EngineInfo> {
    const { cores, offers, missing } = this.#machine;
    return Promise.resolve({
      type: 'process',
      id: systemMachineId() ?? os.hostname(),
      cpus: cores,
      memoryBytes: os.totalmem(),
      storageBytes: 0,
      resources: { cpumem: readTopology(cores) },
      offers,
      missing,
    });
  }

  ping(): Promise<void> {
    return Promise.resolve();
  }

  async create(spec: WorkloadSpec, options: FencedOptions = {}): Promise<WorkloadState> {
    const workload = await this.#limited('create', options, this.#creation.create(spec, options));
    return workload.state();
  }

  async start(id: string, options: FencedOptions = {}): Promise<void> {
    const workload = this.#get(id);
    this.#refuseTaken(workload);
    await this.#limited('start', options, workload.start(options.revision));
  }

  async stop(id: string, options: FencedOptions & { graceMs?: number } = {}): Promise<void> {
    await this.#limited('stop', options, this.#get(id).stop(options.graceMs, options.revision));
  }

  async kill(id: string, signal: string, options: CallOptions = {}): Promise<void> {
    await this.#limited('kill', options, this.#get(id).kill(signal));
  }

  async suspend(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#limited('suspend', options, this.#get(id).suspend(options.revision));
  }

  async resume(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#limited('resume', options, this.#get(id).resume(options.revision));
  }

  async remove(id: string, options: FencedOptions & { force?: boolean } = {}): Promise<void> {
    const workload = this.#workloads.get(id);
    if (workload !== undefined) await this.#limited('remove', options, this.#remove(workload, options));
  }

  async #remove(workload: Workload, { force = false, revision }: FencedOptions & { force?: boolean }): Promise<void> {
    const { id, spec } = workload.record;
    await workload.remove(force, () => this.#heirs(workload), revision);
    await this.#folders.remove(id);
    // Two may have asked; one event is told.
    if (this.#workloads.delete(id)) this.#events.emit('removed', id, spec.name);
    if (workload.record.shared === true) await this.#creation.dropRoots();
  }

  /** Its successor, to whom what it holds goes at once; or the one whose place it was to take, and did not. */
  async #heirs(workload: Workload): Promise<Neighbour[]> {
    const { name, succeeds } = workload.record.spec;
    const successor = [...this.#workloads.values()].find(({ record }) => record.spec.succeeds === name);
    if (successor !== undefined && (await successor.succeed(workload.neighbour)))
      this.#events.emit('updated', successor.record.id, successor.record.spec.name);
    return [successor, this.#named(succeeds)].flatMap((one) => (one === undefined ? [] : [one.neighbour]));
  }

  #named(name: string): Workload | undefined {
    return [...this.#workloads.values()].find(({ record }) => record.spec.name === name);
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

  async wait(id: string, { signal, timeoutMs }: CallOptions = {}): Promise<ExitState> {
    const workload = this.#get(id);
    if (timeoutMs === undefined) return workload.wait(signal);
    const limit = deadline(this.#options.clock, timeoutMs, signal);
    try {
      return await workload.wait(limit.signal);
    } finally {
      limit.clear();
    }
  }

  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<LogEntry> {
    const workload = this.#get(id);
    await workload.takeOverLog();
    yield* readLog(workload.folder.log, options, workload.gone);
  }

  async exec(id: string, spec: ExecSpec, { signal }: CallOptions = {}): Promise<Session> {
    const workload = this.#get(id);
    if (spec.command.length === 0) throw invalid('command', '', 'give a command to run');
    const command = await workload.exec(spec);
    if (signal?.aborted) throw EruError.from(signal.reason);
    const session = plainOutcome(spec.tty ? terminalSession(command, spec) : pipeSession(command, spec));
    return leaveOn(signal, session);
  }

  async attach(id: string, { signal }: CallOptions = {}): Promise<Session> {
    const session = await this.#get(id).attach();
    return leaveOn(signal, session);
  }

  async copyTo(id: string, target: string, tar: AsyncIterable<Uint8Array>, options: CallOptions = {}): Promise<void> {
    await this.#limited('copyTo', options, this.#get(id).copyTo(target, tar));
  }

  async *copyFrom(id: string, source: string, { signal }: CallOptions = {}): AsyncGenerator<Uint8Array> {
    for await (const piece of this.#get(id).copyFrom(source)) {
      if (signal?.aborted) throw EruError.from(signal.reason);
      yield piece;
    }
  }

  async update(id: string, engineParams: EngineParams, options: FencedOptions = {}): Promise<WorkloadState> {
    const workload = this.#get(id);
    const limits = checkLimits(workload.record.spec, engineParams, this.#machine, this.#refuses);
    await this.#limited('update', options, workload.update(engineParams, limits, options.revision));
    this.#events.emit('updated', id, workload.record.spec.name);
    return workload.state();
  }

  async stats(id: string): Promise<WorkloadStats> {
    return { atMs: this.#options.clock.now(), ...this.#get(id).usage() };
  }

  async networkConnect(
    id: string,
    network: string,
    options: CallOptions & { ipv4?: string; ipv6?: string } = {},
  ): Promise<string[]> {
    const { ipv4 = '', ipv6 = '' } = options;
    if (this.#networks === undefined) return this.unsupported('connecting processes to networks', id);
    const workload = this.#get(id);
    const addresses = await this.#limited(
      'networkConnect',
      options,
      workload.connect(network, addressText([ipv4, ipv6])),
    );
    this.#events.emit('updated', id, workload.record.spec.name);
    return addresses;
  }

  async networkDisconnect(id: string, network: string, options: CallOptions = {}): Promise<void> {
    if (this.#networks === undefined) return this.unsupported('disconnecting processes from networks', id);
    const workload = this.#get(id);
    await this.#limited('networkDisconnect', options, workload.disconnect(network));
    this.#events.emit('updated', id, workload.record.spec.name);
  }

  async askNetwork(verb: NetworkQuestion, request: JsonObject, options: CallOptions = {}): Promise<Json> {
    const { networks } = this.#options;
    if (networks === undefined) return this.unsupported('asking the network daemon');
    const ask = networks.service[verb] as (request: JsonObject, signal?: AbortSignal) => Promise<unknown>;
    return (await this.#limited('askNetwork', options, ask(request, options.signal))) as Json;
  }

  async networkList(options: CallOptions & { drivers?: readonly string[] } = {}): Promise<EngineNetwork[]> {
    const { drivers = [] } = options;
    if (this.#networks === undefined) return this.unsupported('listing networks');
    const networks = await this.#limited('networkList', options, this.#networks.list());
    return networks.filter(({ driver }) => drivers.length === 0 || drivers.includes(driver));
  }

  async close(): Promise<void> {
    this.#events.close();
    await Promise.all([...this.#workloads.values()].map((workload) => workload.close()));
    if (this.#workloads.size === 0) await removeEmptyGroup(this.#machine.cgroups, path.dirname(cgroupPath('none')));
    await this.#release();
  }

  #workload(record: WorkloadRecord, status: WorkloadStatus): Workload {
    const { clock, logger, folder, log } = this.#options;
    return new Workload({
      place: {
        machine: this.#machine,
        folder: this.#folders.of(record.id),
        record,
        runcRoot: path.join(folder, 'runc'),
        hidden: [folder],
      },
      status,
      networks: this.#networks,
      before: () => this.#named(record.spec.succeeds)?.neighbour,
      logLimits: readLogLimits(record.spec.log, log),
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

  /** What has ended has let its port numbers go: another may have them now. */
  #refuseTaken(workload: Workload): void {
    const { succeeds } = workload.record.spec;
    // In namespaces of their own both listen; the port is published for the new one when the old one has gone.
    const before = workload.interfaces.length > 0 ? this.#named(succeeds) : undefined;
    for (const other of this.#workloads.values()) {
      if (other === before) continue;
      const port = workload.fixedPorts.find((number) => other !== workload && other.heldPorts.includes(number));
      if (port !== undefined)
        throw new EruError('busy', `publish: port ${port} is in use by ${other.record.spec.name}; stop that first`);
    }
  }

  get #refuses(): boolean {
    return this.#options.unenforced === 'refuse';
  }

  /** A deadline ends the caller's waiting, not the effect. */
  #limited<T>(verb: EngineVerb, options: CallOptions & { graceMs?: number }, work: Promise<T>): Promise<T> {
    const { signal, timeoutMs, graceMs } = options;
    const limit = { timeoutMs: callLimitMs(verb, timeoutMs, graceMs), ...(signal !== undefined && { signal }) };
    return waitFor(work, verb, limit, this.#options.clock);
  }
}
