import type { FencedOptions, WorkloadSpec } from '@eru/engines';
import { EruError, type Clock, type Random } from '@eru/kit';

import { checkArchive, checkLimits, checkSpec, isArchive } from './admission.ts';
import { cgroupPath } from '../process/bundle.ts';
import { tryLimits } from '../cgroups/cgroup.ts';
import type { Machine } from '../cgroups/machine.ts';
import { networkPlace, wishesOf } from '../networks/network-wishes.ts';
import { choosePorts } from '../process/ports.ts';
import type { WorkloadNetworks } from '../networks/workload-networks.ts';
import type { Roots } from '../files/roots.ts';
import { freshStatus, type WorkloadFolders, type WorkloadRecord, type WorkloadStatus } from './workload-folder.ts';
import type { Workload } from './workload.ts';

interface CreationParts {
  clock: Clock;
  random: Random;
  machine: Machine;
  folders: WorkloadFolders;
  roots: Roots;
  networks: WorkloadNetworks | undefined;
  /** All that are there; what is made is added. */
  workloads: Map<string, Workload>;
  /** Limits that cannot be enforced are refused. */
  refuses: boolean;
  workload: (record: WorkloadRecord, status: WorkloadStatus) => Workload;
  created: (record: WorkloadRecord) => void;
}

/** Makes workloads, one after the other: names, ports and roots are chosen among what is there. */
export class Creation {
  readonly #parts: CreationParts;
  #turn: Promise<unknown> = Promise.resolve();
  /** Owns addresses before it is there. */
  making: WorkloadRecord | undefined;

  constructor(parts: CreationParts) {
    this.#parts = parts;
  }

  /** Makes it, or finds it by name. */
  create(spec: WorkloadSpec, options: FencedOptions): Promise<Workload> {
    return this.#inTurn(() => this.#create(spec, options));
  }

  /** What nobody's root is any more goes. */
  dropRoots(): Promise<void> {
    return this.#inTurn(() => this.#keepRoots());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {}); // Its caller hears of it; the next one starts anyway.
    return done;
  }

  async #create(asked: WorkloadSpec, options: FencedOptions): Promise<Workload> {
    const known = this.#named(asked.name);
    if (known !== undefined) {
      if (known.record.spec.labels['eru.operation'] !== asked.labels['eru.operation'])
        throw new EruError('exists', `${asked.name} is there already, made by another operation`);
      await known.allow(options.revision);
      return known;
    }
    const { root } = asked;
    if (!isArchive(root)) return this.#make(asked, options);
    checkArchive(this.#parts.machine);
    try {
      const folder = await this.#parts.roots.take(root.path);
      return await this.#make({ ...asked, root: { type: 'folder', path: folder, readOnly: false } }, options, true);
    } catch (error) {
      await this.#keepRoots();
      throw error;
    }
  }

  async #make(spec: WorkloadSpec, { revision }: FencedOptions, shared = false): Promise<Workload> {
    checkSpec(spec, this.#parts.machine, this.#parts.networks !== undefined);
    const limits = checkLimits(spec, spec.engineParams, this.#parts.machine, this.#parts.refuses);
    const before = this.#named(spec.succeeds);
    const place = networkPlace(spec);
    // In a namespace of its own it listens at once, and is published when the one before it has gone.
    const others = [...this.#parts.workloads.values()].filter((one) => place !== 'networks' || one !== before);
    const taken = new Set(others.flatMap(({ heldPorts }) => heldPorts));
    const { random, clock } = this.#parts;
    const ports = place === 'none' ? {} : await choosePorts(spec.publish, taken, random);
    const record: WorkloadRecord = { version: 1, id: random.hex(64), createdAtMs: clock.now(), spec, ports, shared };
    const interfaces = wishesOf(spec, before?.interfaces);
    const make = async (): Promise<WorkloadStatus> => {
      await this.#parts.networks?.reserve(record, interfaces, before?.neighbour);
      const effective = await tryLimits(this.#parts.machine.cgroups, cgroupPath(record.id), limits);
      return {
        ...freshStatus,
        revision: revision ?? 0,
        engineParams: spec.engineParams,
        effective,
        ...(interfaces.length > 0 && { interfaces }),
      };
    };
    this.making = record;
    const status = await this.#parts.folders
      .create(record, make)
      .catch(async (error: unknown) => {
        if (interfaces.length > 0) await this.#parts.networks?.release(record, []).catch(() => {}); // The daemon releases what is nobody's.
        throw error;
      })
      .finally(() => (this.making = undefined));
    const workload = this.#parts.workload(record, status);
    this.#parts.workloads.set(record.id, workload);
    this.#parts.created(record);
    return workload;
  }

  async #keepRoots(): Promise<void> {
    const shared = [...this.#parts.workloads.values()].map(({ record }) => record.spec.root);
    await this.#parts.roots.keep(new Set(shared.flatMap((root) => (root.type === 'folder' ? [root.path] : []))));
  }

  #named(name: string): Workload | undefined {
    return [...this.#parts.workloads.values()].find(({ record }) => record.spec.name === name);
  }
}
