import { spawn } from 'node:child_process';
import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';

import type { Clock } from '@eru/kit';
import { EruError, childEnvironment, isErrno } from '@eru/kit';

import { errorOfOutput, pluginError } from './error.ts';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

export interface PluginCall {
  /** File name of the plugin, looked up in `folders` in order. */
  readonly type: string;
  readonly folders: readonly string[];
  readonly command: CniCommand;
  /** Of the call beside `CNI_COMMAND` and `CNI_PATH`: `CNI_CONTAINERID`, `CNI_NETNS`, `CNI_IFNAME`, `CNI_ARGS`. */
  readonly env: Readonly<Record<string, string>>;
  /** What it reads from its standard input. */
  readonly input: string;
  /** At this limit its whole process group is killed. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

/** A result has some kilobytes; a plugin that writes more than this is broken. */
const stdoutBytesMax = 2 ** 20;
/** Of what it complains, the first is what matters. */
const stderrBytesMax = 64 * 1024;
/** How long a child of a plugin that has ended may keep the plugin's pipes open. */
const pipesLingerMs = 500;
/** A plugin file that is being replaced cannot be run ("text file busy"); the Go library waits as long. */
const busyAttempts = 5;
const busyPauseMs = 1000;
/** Plugins look up `iptables`, `nft` and `ip`; a service manager may have given us none. */
const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs one plugin and answers what it printed. @throws EruError with the plugin's own code (`error.ts`), `not_found` (no
 * such plugin), `timeout`, `too_large` (it floods), `canceled`
 */
export async function callPlugin(call: PluginCall): Promise<string> {
  const file = await findPlugin(call.type, call.folders);
  for (let attempt = 1; ; attempt++) {
    try {
      return await runOnce(file, call);
    } catch (error) {
      if (attempt >= busyAttempts || !isErrno(error, 'ETXTBSY'))
        throw isErrno(error, 'ETXTBSY') ? EruError.from(error) : error;
      await call.clock.sleep(busyPauseMs, call.signal);
    }
  }
}

/** @throws EruError `not_found` that says how to get it */
export async function findPlugin(type: string, folders: readonly string[]): Promise<string> {
  for (const folder of folders) {
    const file = path.join(folder, type);
    try {
      await access(file, constants.X_OK);
      if ((await stat(file)).isFile()) return file;
    } catch (error) {
      if (!isErrno(error, 'ENOENT') && !isErrno(error, 'ENOTDIR') && !isErrno(error, 'EACCES')) throw error;
    }
  }
  throw new EruError(
    'not_found',
    `CNI plugin ${type} is in none of ${folders.join(', ')}; install it (Debian, Ubuntu: apt-get install containernetworking-plugins), or name its folder`,
    {
      details: { plugin: type },
    },
  );
}

async function runOnce(file: string, call: PluginCall): Promise<string> {
  const { type, command, timeoutMs, clock, signal } = call;
  signal?.throwIfAborted();
  const { NODE_OPTIONS: _dropped, PATH = defaultPath, ...environment } = childEnvironment();
  const child = spawn(file, [], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own, so that whatever it has started can be killed with it.
    detached: true,
    env: { ...environment, PATH, ...call.env, CNI_COMMAND: command, CNI_PATH: call.folders.join(':') },
  });
  const spawned = child.pid !== undefined;
  const killGroup = (): void => {
    if (!spawned || child.pid === undefined) return;
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      if (!isErrno(error, 'ESRCH')) throw error;
    }
  };
  let broken: EruError | undefined;
  const stop = (error: EruError): void => {
    broken ??= error;
    killGroup();
    child.stdout.destroy();
    child.stderr.destroy();
  };
  const stdout = new Collected(stdoutBytesMax);
  const stderr = new Collected(stderrBytesMax);
  child.stdout.on('data', (piece: Buffer) => {
    if (!stdout.add(piece))
      stop(
        new EruError('too_large', `CNI plugin ${type} ${command} wrote more than ${stdoutBytesMax} bytes`, {
          details: { plugin: type },
        }),
      );
  });
  child.stderr.on('data', (piece: Buffer) => void stderr.add(piece));
  child.stdin.on('error', () => {}); // It need not read its input.
  child.stdin.end(call.input);
  const timer = clock.timer(timeoutMs, () =>
    stop(
      new EruError('timeout', `CNI plugin ${type} ${command} did not end within ${timeoutMs} ms and was killed`, {
        details: { plugin: type },
      }),
    ),
  );
  const onAbort = (): void => stop(EruError.from(signal?.reason));
  signal?.addEventListener('abort', onAbort, { once: true });
  let linger: { cancel(): void } | undefined;
  try {
    const exit = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => {
        linger = clock.timer(pipesLingerMs, () => {
          killGroup();
          child.stdout.destroy();
          child.stderr.destroy();
        });
      });
      child.once('close', (code) => resolve(code ?? -1));
    });
    if (broken !== undefined) throw broken;
    if (exit === 0) return stdout.text();
    if (exit === -1) throw pluginError(type, command, { msg: `was killed by ${child.signalCode}` });
    throw errorOfOutput(type, command, { exit, stdout: stdout.text(), stderr: stderr.text() });
  } finally {
    timer.cancel();
    linger?.cancel();
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The first bytes of a stream. */
class Collected {
  readonly #pieces: Buffer[] = [];
  readonly #limit: number;
  #bytes = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** False when there was more than fits. */
  add(piece: Buffer): boolean {
    const room = this.#limit - this.#bytes;
    const taken = piece.subarray(0, room);
    if (taken.length > 0) this.#pieces.push(taken);
    this.#bytes += taken.length;
    return piece.length <= room;
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString('utf8');
  }
}
