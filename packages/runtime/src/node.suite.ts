import type { Engine } from '@eru/engines';
import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { expect } from 'vitest';

import { cgroupPath } from './process/bundle.ts';
import { groupProcesses } from './cgroups/cgroup.ts';
import { createProcessEngine, type ProcessEngineOptions } from './engine.ts';
import type { Machine } from './cgroups/machine.ts';
import { probe } from './process/probe.ts';
import { findProcesses, readProc, sendSignal } from './process/process-identity.ts';
import { WorkloadFolder, type WorkloadStatus } from './workload/workload-folder.ts';

/** How workloads are run, of the ways that this machine has. */
export type Ways = 'conmon' | 'shell' | 'plain';

let looked: Promise<Machine> | undefined;

/** This machine, looked at once for all tests of a file. */
async function thisMachine(): Promise<Machine> {
  looked ??= (async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-probe-'));
    try {
      return await probe(folder, systemRandom);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  })();
  return looked;
}

/** This machine as if it had only what this way needs. */
export async function machineWith(way: Ways): Promise<Machine> {
  const machine = await thisMachine();
  expect(machine, 'what the tests need works here').toMatchObject({
    runc: expect.any(String),
    conmon: expect.any(String),
  });
  if (way === 'conmon') return machine;
  const { conmon: _conmon, ...rest } = machine;
  return { ...rest, conmon: undefined, ...(way === 'plain' && { runc: undefined, overlay: false }) };
}

/** A data folder whose daemons come and go, and what they may leave on the machine. */
export class TestNode {
  readonly folder: string;
  readonly #ids = new Set<string>();
  #machine: Machine;
  #engine: Engine | undefined;

  private constructor(folder: string, machine: Machine) {
    this.folder = folder;
    this.#machine = machine;
  }

  static async create(way: Ways, folder?: string): Promise<TestNode> {
    return new TestNode(folder ?? (await mkdtemp(path.join(tmpdir(), 'eru-node-'))), await machineWith(way));
  }

  get machine(): Machine {
    return this.#machine;
  }

  /** What the next daemon finds. */
  change(change: Partial<Machine>): void {
    this.#machine = { ...this.#machine, ...change };
  }

  /** A new daemon on the folder; the one before must be closed or dead. */
  async engine(options: Partial<ProcessEngineOptions> = {}): Promise<Engine> {
    this.#engine = await createProcessEngine({
      folder: this.folder,
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      unenforced: 'allow',
      look: async () => this.#machine,
      ...options,
    });
    return this.#engine;
  }

  /** What a power cut does to a run: everything of it is killed at once, and nothing of its end is written. */
  async crash(id: string): Promise<void> {
    const folder = new WorkloadFolder(path.join(this.folder, 'workloads', id));
    const supervised = findProcesses((pid) => (readProc(pid, 'cmdline') ?? '').includes(folder.run));
    const group = groupProcesses(this.#machine.cgroups, cgroupPath(id));
    for (const pid of [...supervised, ...group]) sendSignal(pid, 9);
    await expect.poll(() => groupProcesses(this.#machine.cgroups, cgroupPath(id))).toEqual([]);
  }

  /** Changes what a dead daemon has written. */
  async edit(id: string, change: (status: WorkloadStatus) => WorkloadStatus): Promise<void> {
    const file = path.join(this.folder, 'workloads', id, 'state.json');
    const status = JSON.parse(await readFile(file, 'utf8')) as WorkloadStatus;
    await writeFile(file, JSON.stringify(change(status)));
  }

  /** Removes every workload and asks for what is left of them. */
  async close(): Promise<void> {
    await this.#engine?.close();
    const engine = await this.engine();
    for (const { id } of await engine.list()) {
      this.#ids.add(id);
      await engine.remove(id, { force: true });
    }
    await engine.close();
    expect(await this.leftovers()).toEqual([]);
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Folders, groups, runc's state and processes that are still there. */
  async leftovers(): Promise<string[]> {
    const found: string[] = [];
    const workloads = path.join(this.folder, 'workloads');
    for (const folder of [workloads, path.join(this.folder, 'runc')])
      if (existsSync(folder)) found.push(...(await readdir(folder)).map((name) => path.join(folder, name)));
    for (const mount of this.#machine.cgroups.hierarchies)
      for (const id of this.#ids) if (existsSync(path.join(mount, 'eru', id))) found.push(path.join(mount, 'eru', id));
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      if (words.includes(workloads)) found.push(words.replaceAll('\0', ' '));
    }
    return found;
  }
}

/** Makes a program of a suite's file, on the sources, for a process of its own; answers its path. */
export async function bundleChild(name: string): Promise<string> {
  const root = path.join(import.meta.dirname, '../../..');
  const outfile = path.join(root, `.cache/${name}.mjs`);
  const source = (part: string): string => path.join(root, `packages/${part}/src/index.ts`);
  await build({
    entryPoints: [path.join(import.meta.dirname, `${name}.suite.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['@lydell/node-pty'],
    alias: Object.fromEntries(['kit', 'contract', 'engines'].map((part) => [`@eru/${part}`, source(part)])),
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
    },
    logLevel: 'error',
  });
  return outfile;
}
