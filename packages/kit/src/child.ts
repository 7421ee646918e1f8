import type { SpawnOptions } from 'node:child_process';
import { constants } from 'node:os';
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';

import { EruError, isErrno } from './error.ts';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  input?: string | Uint8Array;
  /** Default 30 s. At the limit the child gets TERM, two seconds later KILL. */
  timeoutMs?: number;
  signal?: AbortSignal;
  detached?: boolean;
}

export interface RunResult {
  /** Exit code; 128 + number when a signal ended it. */
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program with an argument list (never a shell) to its end, and collects what it printed. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { timeoutMs = 30_000, signal } = options;
  signal?.throwIfAborted();
  const spawnOptions: SpawnOptions = { stdio: ['pipe', 'pipe', 'pipe'], env: childEnvironment(options.env) };
  if (options.cwd !== undefined) spawnOptions.cwd = options.cwd;
  if (options.detached !== undefined) spawnOptions.detached = options.detached;
  const child = spawn(command, args, spawnOptions);
  let timedOut = false;
  const stop = (): void => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), 2000).unref();
  };
  const timer = setTimeout(() => {
    timedOut = true;
    stop();
  }, timeoutMs);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const exit = new Promise<number>((resolve, reject) => {
      child.once('error', (cause) =>
        reject(
          isErrno(cause, 'ENOENT')
            ? new EruError('not_found', `${command}: no such program`, { cause })
            : EruError.from(cause),
        ),
      );
      child.once('close', (code, name) => resolve(code ?? 128 + (name === null ? 0 : signalNumber(name))));
    });
    child.stdin?.on('error', () => {}); // A child that does not read its input is not an error of ours.
    child.stdin?.end(options.input);
    const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout!), text(child.stderr!)]);
    signal?.throwIfAborted();
    if (timedOut)
      throw new EruError('timeout', `${command} did not end within ${timeoutMs} ms`, { details: { stderr } });
    return { code, stdout, stderr };
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** Like `run`, but an exit code other than 0 is an error that carries what the program said. */
export async function runOk(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const result = await run(command, args, options);
  if (result.code === 0) return result;
  const said = (result.stderr.trim() || result.stdout.trim()).slice(-2000);
  throw new EruError('failed', `${command} ${args[0] ?? ''} ended with ${result.code}: ${said}`, {
    details: { ...result },
  });
}

/** The environment for a child: ours without what only slows Node down (60 ms per start, dependencies.md section 6). */
export function childEnvironment(env: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const { NODE_EXTRA_CA_CERTS: _dropped, ...rest } = env;
  return rest;
}

export function signalNumber(name: NodeJS.Signals): number {
  return constants.signals[name];
}
