import type { EngineParams, Limits, WorkloadSpec } from '@eru/engines';
import { EruError, isEruError, isErrno, readIfExists, syncFolder, writeFileAtomic } from '@eru/kit';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';

import type { RuntimeName } from '../cgroups/machine.ts';
import type { InterfaceWish } from '../networks/network-wishes.ts';
import type { AttachedNetwork } from '../networks/workload-networks.ts';
import type { ProcessIdentity } from '../process/process-identity.ts';

/** What never changes; `spec.json`. */
export interface WorkloadRecord {
  version: 1;
  id: string;
  createdAtMs: number;
  spec: WorkloadSpec;
  ports: Readonly<Record<string, number>>;
  /** The root folder of its spec is of an archive, and others may have it too: it gets a layer of its own over it. */
  shared?: boolean;
}

/** What changes; `state.json`, replaced as a whole before each effect that must be known after a crash, and after each. */
export interface WorkloadStatus {
  /** The highest store revision that an effect has carried. */
  revision: number;
  engineParams: EngineParams;
  /** What it has in its own namespace; absent = none. Connecting and disconnecting change it. */
  interfaces?: readonly InterfaceWish[];
  /** What its user wants; only start and stop change it. */
  wanted: 'running' | 'stopped';
  phase: 'created' | 'starting' | 'running' | 'restarting' | 'exited';
  /** The run that is starting or running, or has ended and is not cleared away yet. */
  run: RunRecord | null;
  startedAtMs: number;
  restarts: number;
  /** Restarts since it was last started by hand, and those in a row without a steady run. */
  attempts: number;
  failures: number;
  exitCode: number;
  oomKilled: boolean;
  finishedAtMs: number;
  error: string;
  /** As last read back; for when nothing runs. */
  effective: Limits;
}

/** One run, with what it was started by: a later daemon, which may choose otherwise, goes on with these. */
export interface RunRecord {
  launcher: 'runc' | 'plain';
  /** Of the launcher `runc`; absent: runc itself. */
  runtime?: RuntimeName;
  supervisor: 'conmon' | 'shell';
  /** Absent while it is starting. */
  main?: ProcessIdentity;
  bootId: string;
  /** Absent on the host's network, and in an empty namespace. */
  network?: AttachedNetwork;
  /** A signal whose default action we carried out, because the kernel spares the first process of a pid namespace. */
  endedBySignal?: number;
}

export const freshStatus: Omit<WorkloadStatus, 'engineParams' | 'effective' | 'revision'> = {
  wanted: 'stopped',
  phase: 'created',
  run: null,
  startedAtMs: 0,
  restarts: 0,
  attempts: 0,
  failures: 0,
  exitCode: 0,
  oomKilled: false,
  finishedAtMs: 0,
  error: '',
};

/** Where everything of one workload lies. */
export class WorkloadFolder {
  readonly path: string;
  readonly log: string;
  /** Of the present run: bundle, pid file, what its supervisor leaves. Made anew for each. */
  readonly run: string;
  /** Holds nothing but the exit code of the present run, in a file named after the workload. */
  readonly exit: string;
  /** The private layer over the host's root, kept over restarts. */
  readonly layer: string;

  constructor(folder: string) {
    this.path = folder;
    this.log = path.join(folder, 'log');
    this.run = path.join(folder, 'run');
    this.exit = path.join(this.run, 'exits');
    this.layer = path.join(folder, 'layer');
  }

  async writeStatus(status: WorkloadStatus): Promise<void> {
    try {
      await writeFileAtomic(path.join(this.path, 'state.json'), JSON.stringify(status), 0o600);
    } catch (cause) {
      throw cannotKeep(this.path, cause);
    }
  }
}

/** The folders of all workloads of one engine. */
export class WorkloadFolders {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  of(id: string): WorkloadFolder {
    return new WorkloadFolder(path.join(this.#root, id));
  }

  /** All or nothing, also over a crash: made beside its place and renamed. `before` runs while a crash would be cleaned up after. */
  async create(record: WorkloadRecord, before: () => Promise<WorkloadStatus>): Promise<WorkloadStatus> {
    const temporary = new WorkloadFolder(path.join(this.#root, `.new-${record.id}`));
    try {
      await mkdir(temporary.path, { mode: 0o700 });
      await mkdir(temporary.log);
      const status = await before();
      await Promise.all([
        writeFileAtomic(path.join(temporary.path, 'spec.json'), encodeRecord(record), 0o600),
        temporary.writeStatus(status),
      ]);
      await rename(temporary.path, this.of(record.id).path);
      await syncFolder(this.#root);
      return status;
    } catch (cause) {
      await rm(temporary.path, { recursive: true, force: true });
      if (isEruError(cause)) throw cause;
      throw cannotKeep(this.#root, cause);
    }
  }

  /** Its name goes first, so that a crash leaves nothing that looks like a workload. */
  async remove(id: string): Promise<void> {
    const grave = path.join(this.#root, `.gone-${id}`);
    await rename(this.of(id).path, grave).catch((error: unknown) => {
      if (!isErrno(error, 'ENOENT')) throw error;
    });
    await rm(grave, { recursive: true, force: true });
  }

  /** What is there, after what a crash left half-made or half-removed is cleared away; `clear` is told each such workload first. */
  async load(
    clear: (id: string) => Promise<void>,
  ): Promise<{ workloads: { record: WorkloadRecord; status: WorkloadStatus }[]; broken: string[] }> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    const workloads: { record: WorkloadRecord; status: WorkloadStatus }[] = [];
    const broken: string[] = [];
    for (const entry of await readdir(this.#root)) {
      if (entry.startsWith('.')) {
        await clear(entry.replace(/^\.(new|gone)-/, ''));
        await rm(path.join(this.#root, entry), { recursive: true, force: true });
        continue;
      }
      const [record, status] = await Promise.all([this.#read(entry, 'spec.json'), this.#read(entry, 'state.json')]);
      try {
        workloads.push({ record: decodeRecord(record), status: JSON.parse(status) as WorkloadStatus });
      } catch {
        broken.push(entry);
      }
    }
    return { workloads, broken };
  }

  /** Empty when it is not there, which no decoder takes. */
  async #read(id: string, file: string): Promise<string> {
    return (await readIfExists(path.join(this.#root, id, file))) ?? '';
  }
}

function cannotKeep(place: string, cause: unknown): EruError {
  const why = isErrno(cause, 'ENOSPC') ? 'the disk is full' : (cause as Error).message;
  return new EruError('failed', `cannot keep the workload in ${place}: ${why}`, { cause });
}

function encodeRecord(record: WorkloadRecord): string {
  const rawArgs = Buffer.from(record.spec.rawArgs).toString('base64');
  return JSON.stringify({ ...record, spec: { ...record.spec, rawArgs } });
}

function decodeRecord(text: string): WorkloadRecord {
  const record = JSON.parse(text) as WorkloadRecord & { spec: { rawArgs: unknown } };
  return { ...record, spec: { ...record.spec, rawArgs: Buffer.from(String(record.spec.rawArgs), 'base64') } };
}
