import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { isErrno, run, runOk, type RunOptions, type RunResult } from '@eru/kit';

/** The built command. */
export const command = path.join(import.meta.dirname, '../packages/eru/bin/eru.js');

/** What `eru ps -o json` says of one workload; the fields that scripts may rely on. */
export interface Listed {
  id: string;
  name: string;
  app: string;
  entrypoint: string;
  pod: string;
  node: string;
  engine: string;
  running: boolean;
  healthy: boolean;
  publish: Record<string, string>;
  addresses: Record<string, string[]>;
  limits: { requested: { cpu?: number; memory?: number }; effective: { cpu?: number; memory?: number } };
  restarts: number;
  exit_code: number;
  oom_killed: boolean;
  started_at: string;
}

const defaults: RunOptions = { timeoutMs: 60_000, env: { ...process.env, NO_COLOR: '1' } };

/** The built command on a data folder of its own, as a user runs it. */
export class EruUnderTest {
  readonly data: string;

  private constructor(data: string) {
    this.data = data;
  }

  static async create(): Promise<EruUnderTest> {
    return new EruUnderTest(await mkdtemp(path.join(tmpdir(), 'eru-whole-')));
  }

  /** On a folder that the test has made, or leaves to Eru to make. */
  static on(data: string): EruUnderTest {
    return new EruUnderTest(data);
  }

  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(process.execPath, [command, ...args, '--data', this.data], { ...defaults, ...options });
  }

  /** The same; an exit code other than 0 is an error with what was said. */
  ok(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runOk(process.execPath, [command, ...args, '--data', this.data], { ...defaults, ...options });
  }

  /** Words after `--` or of a remote command must stay last: the data folder goes first. */
  exec(args: readonly string[], options: { input?: string } = {}): Promise<RunResult> {
    return run(process.execPath, [command, '--data', this.data, 'exec', ...args], { timeoutMs: 60_000, ...options });
  }

  async up(...more: string[]): Promise<RunResult> {
    // What this machine has besides is no part of a test.
    const docker = more.includes('--docker') ? [] : ['--docker', 'none'];
    return this.run(['up', '--detach', '--listen', '127.0.0.1:0', ...docker, ...more], { timeoutMs: 120_000 });
  }

  async ps(): Promise<Listed[]> {
    return JSON.parse((await this.run(['ps', '-o', 'json'])).stdout) as Listed[];
  }

  /** Process that serves the data folder. */
  async pid(): Promise<number> {
    return (JSON.parse(await readFile(path.join(this.data, 'running.json'), 'utf8')) as { pid: number }).pid;
  }

  async close(): Promise<void> {
    await this.run(['down', '--all'], { timeoutMs: 120_000 });
    await rm(this.data, { recursive: true, force: true });
  }
}

/** What must outlive every death of ours, and of how many workloads. */
export function identity(workloads: readonly Listed[]): unknown {
  return workloads.map(({ id, started_at }) => ({ id, started_at })).toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** The HTTP status that each of these services answers with. */
export function answers(workloads: readonly Listed[]): Promise<number[]> {
  return Promise.all(
    workloads.map(async ({ publish }) => (await fetch(`http://${Object.values(publish)[0]}/`)).status),
  );
}

/** Everything that a workload could leave on this machine. */
export interface Traces {
  processes: string[];
  cgroups: string[];
  mounts: string[];
  namespaces: string[];
}

/** What there is now, as far as it could be of an Eru with its data in such a folder: compared before and after. */
export async function traces(folders = 'eru-whole-'): Promise<Traces> {
  const processes: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (words.includes(folders) || words.includes('examples/hello')) processes.push(words.replaceAll('\0', ' ').trim());
  }
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line.includes('eru'));
  return {
    processes: processes.toSorted(),
    cgroups: await cgroups('/sys/fs/cgroup', 3),
    mounts,
    namespaces: await folder('/run/netns'),
  };
}

async function cgroups(root: string, depth: number): Promise<string[]> {
  if (depth === 0) return [];
  const found: string[] = [];
  for (const name of await folder(root)) {
    const entry = path.join(root, name);
    if (name === 'eru')
      found.push(...(await folder(entry)).filter((id) => /^[0-9a-f]{64}$/.test(id)).map((id) => path.join(entry, id)));
    else found.push(...(await cgroups(entry, depth - 1)));
  }
  return found.toSorted();
}

async function folder(name: string): Promise<string[]> {
  try {
    return (await readdir(name, { withFileTypes: true }))
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'EACCES')) return [];
    throw error;
  }
}
