import {
  addressList,
  type EngineParams,
  type ExecSpec,
  type ExitState,
  type Session,
  type WorkloadState,
  type WorkloadStats,
} from '@eru/engines';
import { EruError } from '@eru/kit';

import { attachedSession } from './attach.ts';
import { cgroupPath } from '../process/bundle.ts';
import { limitWrites, readLimits, tryLimits, writeLimits, type CgroupTree } from '../cgroups/cgroup.ts';
import { packed, unpack } from '../files/copy.ts';
import { viewFiles } from '../files/file-view.ts';
import { freeze, isFrozen, thaw } from '../cgroups/freezer.ts';
import type { Command } from '../process/launcher.ts';
import { LifeCycle, type LifeOptions } from './life-cycle.ts';
import type { WantedLimits } from '../cgroups/limits.ts';
import { followLog } from '../logs/log-reader.ts';
import { writeNameFiles } from '../process/name-files.ts';
import { checkNetworks, freeName, networkPlace, type InterfaceWish } from '../networks/network-wishes.ts';
import type { AttachedNetwork, Neighbour, WorkloadNetworks } from '../networks/workload-networks.ts';
import { Serial } from '../serial.ts';
import { inputPipe } from '../process/shell.ts';
import { exitOf, shownState } from './shown-state.ts';
import { parseSignal } from '../process/signals.ts';
import type { WorkloadFolder, WorkloadRecord, WorkloadStatus } from './workload-folder.ts';

const defaultGraceMs = 10_000;

/** One workload: its verbs take turns, its ends are heard of, its policy is kept. */
export class Workload {
  readonly record: WorkloadRecord;
  readonly folder: WorkloadFolder;
  readonly #options: LifeOptions;
  readonly #turns = new Serial();
  readonly #gone = new AbortController();
  readonly #life: LifeCycle;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.record = options.place.record;
    this.folder = options.place.folder;
    this.#life = new LifeCycle(options, this.#turns);
  }

  get #status(): WorkloadStatus {
    return this.#life.kept.now;
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
    return shownState(this.#options.place, this.#status);
  }

  /** Takes note of a right that carries no effect; refuses an outdated one. */
  allow(revision?: number): Promise<void> {
    return this.#turns.run(async () => this.#life.kept.fence(revision));
  }

  start(revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      if (this.#status.phase === 'running') await this.#life.look();
      if (this.#isPaused) throw new EruError('precondition', `${this.record.spec.name} is paused; resume it`);
      if (this.#status.phase === 'running') return;
      await this.#life.launch({ wanted: 'running', attempts: 0, failures: 0 });
    });
  }

  stop(graceMs = defaultGraceMs, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      await this.#life.kept.write({ wanted: 'stopped' });
      await this.#life.end(graceMs);
    });
  }

  kill(signal: string): Promise<void> {
    const number = parseSignal(signal, 'signal');
    return this.#turns.run(async () => {
      if (this.#status.phase !== 'running') throw this.#notRunning();
      await this.#life.signal(number);
    });
  }

  suspend(revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      this.#refuseUnfreezable();
      await this.#life.look();
      if (this.#status.phase !== 'running') throw this.#notRunning();
      if (this.#isPaused) return;
      await this.#life.kept.write({});
      await freeze(this.#cgroups, this.#group);
      this.#options.emit('paused');
    });
  }

  resume(revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      this.#refuseUnfreezable();
      if (this.#status.phase !== 'running') throw this.#notRunning();
      if (!this.#isPaused) return;
      await this.#life.kept.write({});
      thaw(this.#cgroups, this.#group);
      this.#options.emit('resumed');
    });
  }

  /** `heirs` is asked when it has ended: who may have its addresses. */
  remove(force: boolean, heirs: () => Promise<Neighbour[]>, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      if (this.#status.phase === 'running' && !force)
        throw new EruError('precondition', `${this.record.spec.name} is running; stop it first, or remove it by force`);
      // A disk that is full must not keep a workload from being removed.
      await this.#life.kept.write({ wanted: 'stopped' }).catch(() => {});
      await this.#life.end(0);
      await this.#life.clear();
      await this.#life.detach();
      if (this.interfaces.length > 0) await this.#options.networks?.release(this.record, await heirs());
      this.#gone.abort();
      await this.close();
      this.#life.kept.tell();
    });
  }

  update(engineParams: EngineParams, limits: WantedLimits, revision?: number): Promise<void> {
    return this.#turns.run(async () => {
      this.#life.kept.fence(revision);
      const [cgroups, group] = [this.#cgroups, this.#group];
      if (this.#status.phase !== 'running') {
        const effective = await tryLimits(cgroups, group, limits);
        return this.#life.kept.write({ engineParams, effective });
      }
      const before = this.#life.limits;
      try {
        await writeLimits(cgroups, group, limitWrites(cgroups, limits, before));
      } catch (error) {
        // All or nothing: what was written of it goes back.
        await writeLimits(cgroups, group, limitWrites(cgroups, before, limits)).catch(() => {});
        throw error;
      }
      await this.#life.kept.write({ engineParams, effective: readLimits(cgroups, group) ?? {} });
    });
  }

  get interfaces(): readonly InterfaceWish[] {
    return this.#status.interfaces ?? [];
  }

  /** As one that takes its place sees it, or one whose place it takes. */
  get neighbour(): Neighbour {
    const { wanted, phase } = this.#status;
    const keeps = wanted === 'running' && phase !== 'created' && phase !== 'exited';
    return { name: this.record.spec.name, wishes: this.interfaces, keeps };
  }

  /** Whether the network daemon should have it attached. */
  get attached(): boolean {
    return this.#status.phase === 'running' || this.#status.phase === 'starting';
  }

  /** The one whose place it takes is going, and has ended. Answers whether it has other addresses now. */
  succeed(before: Neighbour): Promise<boolean> {
    return this.#turns.run(async () => {
      const { networks } = this.#options;
      if (networks === undefined || this.interfaces.length === 0) return false;
      const network = await networks.succeed(this.record, this.interfaces, before, this.attached);
      if (network !== undefined) await this.#use(network);
      return network !== undefined;
    });
  }

  /** @param ip as in a spec; empty = any. Answers its addresses there. */
  connect(network: string, ip: string): Promise<string[]> {
    return this.#turns.run(async () => {
      const networks = this.#ownNetworks();
      const { name } = this.record.spec;
      if (this.interfaces.some((one) => one.network === network))
        throw new EruError('exists', `${name} is on network ${network} already`);
      const wish = { network, ip, ifname: freeName(this.interfaces.map(({ ifname }) => ifname)) };
      checkNetworks({ networks: { [network]: ip } });
      const before = this.interfaces;
      // Written first: what a dead daemon has begun is its own, and goes with it.
      await this.#life.kept.write({ interfaces: [...before, wish] });
      try {
        const addresses = await networks.connect(this.record, wish, this.attached);
        if (!this.attached) return addresses;
        const attached = await networks.attached(this.record);
        await this.#use(attached);
        return addresses.length > 0 ? addresses : addressList(attached.addresses[network] ?? '');
      } catch (error) {
        await networks.disconnect(this.record, wish).catch(() => {}); // The daemon clears away what is nobody's.
        await this.#life.kept.write({ interfaces: before });
        throw error;
      }
    });
  }

  disconnect(network: string): Promise<void> {
    return this.#turns.run(async () => {
      const networks = this.#ownNetworks();
      const { name } = this.record.spec;
      const wish = this.interfaces.find((one) => one.network === network);
      if (wish === undefined) throw new EruError('not_found', `${name} is not on network ${network}`);
      if (this.interfaces.length === 1)
        throw new EruError(
          'precondition',
          `${network} is the only network of ${name}; connect it to another one first`,
        );
      await networks.disconnect(this.record, wish);
      await this.#life.kept.write({ interfaces: this.interfaces.filter((one) => one !== wish) });
      if (this.attached) await this.#use(await networks.attached(this.record));
    });
  }

  /** What it is attached to has changed while it runs. */
  async #use(network: AttachedNetwork): Promise<void> {
    const { run } = this.#status;
    if (run === null) return;
    await this.#life.kept.write({ run: { ...run, network } });
    await writeNameFiles(this.#life.place);
  }

  #ownNetworks(): WorkloadNetworks {
    const { networks } = this.#options;
    const { spec } = this.record;
    if (networks === undefined)
      throw new EruError(
        'unsupported',
        'networks: this node daemon runs without networks; processes cannot be connected',
      );
    if (networkPlace(spec) === 'networks') return networks;
    throw new EruError(
      'precondition',
      `${spec.name} was made for network ${Object.keys(spec.networks)[0] ?? 'host'}, and stays there; only what was made for a network of Eru can be connected to more`,
    );
  }

  /** The command that runs one more beside it. */
  async exec(spec: ExecSpec): Promise<Command> {
    if (this.#status.phase !== 'running') throw this.#notRunning();
    if (this.#isPaused) throw new EruError('precondition', `${this.record.spec.name} is paused; resume it`);
    return this.#life.run.exec(spec);
  }

  /** Its own streams, for as long as this run lasts. */
  async attach(): Promise<Session> {
    if (this.#status.phase !== 'running') throw this.#notRunning();
    const { startedAtMs } = this.#status;
    const [over, left] = [new AbortController(), new AbortController()];
    await this.takeOverLog();
    const output = await followLog(this.folder.log, over.signal, left.signal);
    const lasts = (): boolean => this.#status.phase === 'running' && this.#status.startedAtMs === startedAtMs;
    const exit = this.#life.kept
      .until(() => !lasts() || this.#gone.signal.aborted, left.signal)
      .then(() => {
        over.abort();
        return this.#status.exitCode;
      });
    exit.catch(() => {}); // Whoever asks is told.
    const input = this.record.spec.stdin ? inputPipe(this.#options.place) : undefined;
    return attachedSession(output, exit, input, () => left.abort(new EruError('canceled', 'detached')));
  }

  async copyTo(target: string, tar: AsyncIterable<Uint8Array>): Promise<void> {
    const view = await viewFiles(this.#options.place, this.state().pid, target, true);
    try {
      await unpack(view.root, view.path, tar);
    } finally {
      await view.root.close();
    }
  }

  async *copyFrom(source: string): AsyncGenerator<Uint8Array> {
    const view = await viewFiles(this.#options.place, this.state().pid, source, false);
    try {
      yield* packed(view.root, view.path);
    } finally {
      await view.root.close();
    }
  }

  usage(): Omit<WorkloadStats, 'atMs'> {
    return this.#life.run.usage();
  }

  async wait(signal?: AbortSignal): Promise<ExitState> {
    await this.#life.kept.until(() => this.#status.phase === 'exited' || this.#gone.signal.aborted, signal);
    return exitOf(this.#status);
  }

  async takeOverLog(): Promise<void> {
    await this.#life.following.drain();
  }

  /** Goes on from what the last daemon has written, and from what has happened since. */
  adopt(): Promise<void> {
    return this.#turns.run(() => this.#life.adopt());
  }

  close(): Promise<void> {
    return this.#life.close();
  }

  get #cgroups(): CgroupTree {
    return this.#options.place.machine.cgroups;
  }

  get #group(): string {
    return cgroupPath(this.record.id);
  }

  get #isPaused(): boolean {
    return this.#status.phase === 'running' && isFrozen(this.#cgroups, this.#group);
  }

  #notRunning(): EruError {
    return new EruError('precondition', `${this.record.spec.name} is not running`);
  }

  /** SIGSTOP would be no pause: its parent sees it, anybody may lift it, and what is forked meanwhile runs on. */
  #refuseUnfreezable(): void {
    if (this.#cgroups.mounts.freezer === undefined)
      throw new EruError(
        'unsupported',
        'suspend: needs the freezer of the control groups, which cannot be used on this node',
      );
  }
}
