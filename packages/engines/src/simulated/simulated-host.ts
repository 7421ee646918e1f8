import { EruError, invalid } from '@eru/kit';
import type { Clock, Random } from '@eru/kit';
import path from 'node:path';

import type { EngineEvent, EngineInfo, WorkloadSpec } from '../engine.ts';
import { labelNames } from '../engine.ts';
import { limitsOf } from '../limits.ts';
import { Ring } from '../ring.ts';
import { SimulatedImages } from './simulated-images.ts';
import { SimulatedNetworks } from './simulated-networks.ts';
import type { Program } from './simulated-process.ts';
import { signalNumberOf } from './simulated-process.ts';
import type { WorkloadChange } from './simulated-workload.ts';
import { SimulatedWorkload } from './simulated-workload.ts';
import { readTar, writeTar } from '../tar.ts';

interface HostOptions {
  name: string;
  clock: Clock;
  random: Random;
  cpus: number;
  memoryBytes: number;
  program: Program;
}

const keptEvents = 10_000;
const firstPort = 20_000;

/** What a simulated machine holds, and what each effect does to it: at once and without fail. Outlives its clients. */
export class SimulatedHost {
  readonly images: SimulatedImages;
  readonly networks = new SimulatedNetworks();
  readonly events = new Ring<Exclude<EngineEvent, { type: 'ready' }>>(keptEvents);
  /** What it tells that it is. */
  type = 'simulated';
  readonly #options: HostOptions;
  readonly #byId = new Map<string, SimulatedWorkload>();
  readonly #portHolders = new Map<number, string>();
  #pid = 1000;

  constructor(options: HostOptions) {
    this.#options = options;
    this.images = new SimulatedImages(options.random);
  }

  info(): EngineInfo {
    const { name, cpus, memoryBytes } = this.#options;
    const storageBytes = 1024 ** 4;
    return {
      type: this.type,
      id: `simulated-${name}`,
      cpus,
      memoryBytes,
      storageBytes,
      resources: {},
      offers: ['everything, in memory'],
      missing: [],
    };
  }

  /** In name order. */
  workloads(): SimulatedWorkload[] {
    return [...this.#byId.values()].toSorted((a, b) => (a.spec.name < b.spec.name ? -1 : 1));
  }

  find(id: string): SimulatedWorkload | undefined {
    return this.#byId.get(id);
  }

  get(id: string): SimulatedWorkload {
    const found = this.#byId.get(id);
    if (found === undefined) throw new EruError('not_found', `no workload ${id}`);
    return found;
  }

  create(spec: WorkloadSpec, revision: number | undefined): SimulatedWorkload {
    const present = this.workloads().find((workload) => workload.spec.name === spec.name);
    if (present !== undefined) {
      const operation = labelNames.operation;
      if (present.spec.labels[operation] !== spec.labels[operation])
        throw new EruError('exists', `name ${spec.name} belongs to another operation`);
      present.fence(revision);
      return present;
    }
    this.#check(spec);
    const id = this.#options.random.hex(64);
    const workload = new SimulatedWorkload({
      id,
      spec: structuredClone(spec),
      ports: this.#takePorts(spec, id),
      clock: this.#options.clock,
      program: this.#options.program,
      nextPid: () => (this.#pid += 1),
      onChange: (change) => this.#happened(change, id, spec.name),
    });
    try {
      const before = this.#named(spec.succeeds);
      for (const [network, wanted] of Object.entries(spec.networks)) {
        const held = before?.running === false ? this.#heldOn(before, network) : undefined;
        if (held !== undefined && (wanted === '' || wanted === held)) this.#hand(workload, network, held);
        // While the one before runs, what it has is its own.
        else this.connect(workload, network, wanted === this.#heldOn(before, network) ? '' : wanted);
      }
      if (spec.image !== '') this.images.pull(spec.image);
    } catch (error) {
      this.#handOver(workload);
      this.#release(workload);
      throw error;
    }
    workload.fence(revision);
    this.#byId.set(id, workload);
    this.#happened('created', id, spec.name);
    return workload;
  }

  async remove(id: string, force: boolean, revision?: number): Promise<void> {
    const workload = this.#byId.get(id);
    if (workload === undefined) return;
    workload.fence(revision);
    if (workload.running && !force) throw new EruError('precondition', `${workload.spec.name} runs; stop it first`);
    await workload.stop(0);
    // Two removals may have waited for the same end.
    if (!this.#byId.delete(id)) return;
    this.#handOver(workload);
    this.#release(workload);
    workload.log.end();
    this.#happened('removed', id, workload.spec.name);
  }

  update(workload: SimulatedWorkload, engineParams: WorkloadSpec['engineParams'], revision: number | undefined): void {
    this.#checkLimits(engineParams);
    workload.fence(revision);
    workload.update(engineParams);
  }

  connect(workload: SimulatedWorkload, network: string, wanted: string): string {
    if (workload.addresses.has(network))
      throw new EruError('exists', `${workload.spec.name} is on network ${network} already`);
    const address = this.networks.take(network, workload.id, wanted, (holder) => this.#lends(holder));
    workload.addresses.set(network, address);
    return address;
  }

  disconnect(workload: SimulatedWorkload, network: string): void {
    const address = workload.addresses.get(network);
    if (address === undefined) throw new EruError('not_found', `${workload.spec.name} is not on network ${network}`);
    workload.addresses.delete(network);
    this.networks.give(network, address, workload.id);
  }

  copyTo(workload: SimulatedWorkload, folder: string, archive: Uint8Array): void {
    if (!path.isAbsolute(folder)) throw invalid('path', folder, 'give an absolute path');
    for (const [name, file] of readTar(archive)) workload.files.set(path.join(folder, name), file);
  }

  copyFrom(workload: SimulatedWorkload, target: string): Uint8Array {
    const base = path.dirname(target);
    const within = [...workload.files].filter(([file]) => file === target || file.startsWith(`${target}/`));
    if (within.length === 0) throw new EruError('not_found', `${target}: no such file or folder`);
    return writeTar(within.map(([name, file]) => [path.relative(base, name), file] as const));
  }

  removeImage(reference: string, force: boolean): string[] {
    const user = this.workloads().find(({ spec }) => spec.image === reference);
    if (user !== undefined && !force)
      throw new EruError('precondition', `image ${reference} is used by ${user.spec.name}`);
    return this.images.remove(reference);
  }

  pruneImages(): void {
    this.images.prune(new Set(this.workloads().map(({ spec }) => spec.image)));
  }

  #named(name: string): SimulatedWorkload | undefined {
    return [...this.#byId.values()].find(({ spec }) => spec.name === name);
  }

  /** Its address on a network, if it is its own still. */
  #heldOn(workload: SimulatedWorkload | undefined, network: string): string | undefined {
    const address = workload?.addresses.get(network);
    if (workload === undefined || address === undefined) return undefined;
    return this.networks.holder(network, address) === workload.id ? address : undefined;
  }

  /** From whoever has it; that one may get it back. */
  #hand(to: SimulatedWorkload, network: string, address: string): void {
    const own = this.#heldOn(to, network);
    if (own !== undefined) this.networks.give(network, own, to.id);
    this.networks.hand(network, address, to.id);
    to.addresses.set(network, address);
  }

  /** One that goes: its successor gets what it has; or the one that it was to succeed gets back what it gave. */
  #handOver(gone: SimulatedWorkload): void {
    const { name, succeeds } = gone.spec;
    const successor = [...this.#byId.values()].find(({ spec }) => spec.succeeds === name);
    const before = this.#named(succeeds);
    for (const [network, address] of gone.addresses) {
      if (this.#heldOn(gone, network) === undefined) continue;
      const wanted = successor?.spec.networks[network];
      if (successor !== undefined && (wanted === '' || wanted === address)) this.#hand(successor, network, address);
      else if (before?.addresses.get(network) === address) this.networks.hand(network, address, before.id);
    }
  }

  #check(spec: WorkloadSpec): void {
    if (spec.name === '') throw invalid('name', spec.name, 'a workload needs a name');
    if (spec.command.length === 0 && spec.image === '')
      throw invalid('command', '', 'a workload without an image needs a command');
    if (spec.stopSignal !== '') signalNumberOf(spec.stopSignal);
    this.#checkLimits(spec.engineParams);
  }

  #checkLimits(engineParams: WorkloadSpec['engineParams']): void {
    const { cpus } = this.#options;
    const beyond = limitsOf(engineParams).cpuset?.find((core) => core >= cpus);
    if (beyond !== undefined) throw invalid('cpu_map', beyond, `the machine has cores 0 to ${cpus - 1}`);
  }

  /** Named ports are chosen; a number on the host's network can be held once. */
  #takePorts(spec: WorkloadSpec, holder: string): Record<string, number> {
    const names = spec.publish.filter((entry) => !/^\d+$/.test(entry));
    const wrong = names.find((entry) => !/^[a-z][a-z0-9_-]{0,31}$/i.test(entry));
    if (wrong !== undefined) throw invalid('publish', wrong, 'give a port number, or a name such as http');
    const numbers = spec.publish.filter((entry) => /^\d+$/.test(entry)).map(Number);
    const outside = numbers.find((port) => port < 1 || port > 65_535);
    if (outside !== undefined) throw invalid('publish', outside, 'ports go from 1 to 65535');
    const fixed = 'host' in spec.networks ? numbers : [];
    const taken = fixed.find((port) => !this.#lends(this.#portHolders.get(port) ?? ''));
    if (taken !== undefined) throw new EruError('busy', `port ${taken} is taken by another workload`);
    for (const port of fixed) this.#portHolders.set(port, holder);
    const ports: Record<string, number> = {};
    for (const name of names) {
      let port = firstPort;
      while (this.#portHolders.has(port)) port += 1;
      this.#portHolders.set(port, holder);
      ports[name] = port;
    }
    return ports;
  }

  /** What has stopped, or is nobody, lends its address or port to one that asks for it by number, as a replacement in its place does. */
  #lends(holder: string): boolean {
    const workload = this.#byId.get(holder);
    return workload === undefined || workload.state().state === 'exited';
  }

  #release(workload: SimulatedWorkload): void {
    for (const [port, holder] of this.#portHolders) if (holder === workload.id) this.#portHolders.delete(port);
    for (const [network, address] of workload.addresses) this.networks.give(network, address, workload.id);
  }

  #happened(type: WorkloadChange | 'created' | 'removed', id: string, name: string): void {
    this.events.push({ type, cursor: String(this.events.next), atMs: this.#options.clock.now(), id, name });
  }
}
