import { EruError, readIfExists } from '@eru/kit';
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';

import type { Command, Launcher, Place } from './launcher.ts';
import type { WantedLimits } from '../cgroups/limits.ts';
import type { LogLimits } from '../logs/log-files.ts';
import { findProcesses, readProc } from './process-identity.ts';

/** The process above a workload that outlives every daemon: it keeps the exit code and the output. */
export interface Supervisor {
  readonly kind: 'conmon' | 'shell';
  /** Resolves when the command is on its way: its pid file or its exit file will tell. Throws `failed` with the runtime's words when it knows better. */
  launch(place: Place, launcher: Launcher, limits: WantedLimits): Promise<void>;
  /** Goes on with a launch in whose middle a daemon died; its processes are there. */
  resume(place: Place): Promise<void>;
  /** Keeps the log of a run in bounds. */
  output(place: Place, options: OutputOptions): Output;
}

export interface OutputOptions {
  limits: LogLimits;
  /** Wall clock, ms. */
  now: () => number;
}

/** What has to be done to a run's output while it is written. */
export interface Output {
  /** Follows what is written from now on. */
  watch(): void;
  /** Does it for everything that is there. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

export function exitFile({ folder, record }: Place): string {
  return path.join(folder.exit, record.id);
}

/** How a run has ended, from the file that its supervisor left; undefined while there is none. */
export async function readExit(place: Place): Promise<{ code: number; atMs: number } | undefined> {
  const text = (await readIfExists(exitFile(place)))?.trim() ?? '';
  if (!/^\d+$/.test(text)) return undefined;
  return { code: Number(text), atMs: Math.floor((await stat(exitFile(place))).mtimeMs) };
}

export function supervisorFile({ folder }: Place): string {
  return path.join(folder.run, 'supervisor');
}

/** By its pid file, and by its words: supervisors and runtimes have the folder of the run on their command line. */
export async function isSupervised(place: Place): Promise<boolean> {
  const pid = Number((await readIfExists(supervisorFile(place))) ?? 0);
  return pid > 0 && isOfRun(pid, place);
}

/** Whether any process of a launch lives, also one that has not written a pid file yet. Looks at every process. */
export function isBeingLaunched(place: Place): boolean {
  return findProcesses((pid) => isOfRun(pid, place)).length > 0;
}

export function isOfRun(pid: number, { folder }: Place): boolean {
  return (readProc(pid, 'cmdline') ?? '').includes(folder.run);
}

/** Starts a program in a session of its own, so that Ctrl-C at a terminal reaches nothing of it. `outputs`: files for stdout and stderr; `input`: a named pipe, which it holds open at both ends. */
export async function spawnDetached(
  { words, env }: Command,
  {
    cwd,
    outputs,
    more = [],
    input,
  }: { cwd: string; outputs: readonly [string, string]; more?: readonly 'pipe'[]; input?: string },
): Promise<ChildProcess> {
  const files = outputs.map((file) => openSync(file, 'a', 0o600));
  const stdin = input === undefined ? undefined : openSync(input, 'r+');
  try {
    const [program = '', ...args] = words;
    const stdio: StdioOptions = [stdin ?? 'ignore', ...files, ...more];
    const child = spawn(program, args, { detached: true, cwd, stdio, env });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new EruError('failed', `cannot start a supervisor: ${cause.message}`, { cause })),
      );
    });
    child.unref();
    return child;
  } finally {
    for (const file of [...files, ...(stdin === undefined ? [] : [stdin])]) closeSync(file);
  }
}
