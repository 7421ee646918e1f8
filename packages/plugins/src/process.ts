import { spawn, type ChildProcess } from 'node:child_process';
import { childEnvironment, EruError, isErrno } from '@eru/kit';
import { failure, type CallName } from './failure.ts';

/** Room for 10,000 instances with 800 bytes of resources and of engine parameters each; more is no answer. */
const answerLimit = 16 * 2 ** 20;
const wordsLimit = 16 * 2 ** 10;
/** How long a plugin that has ended may leave its output open to others. */
const lingerMs = 200;

export interface ProcessCall extends CallName {
  /** Absolute path of the executable, and the folder that it runs in. */
  readonly path: string;
  readonly folder: string;
  readonly input: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * One process per call, in a process group of its own: at the limit all that it started is killed with it.
 * Answers what it printed. @throws EruError see `failure`
 */
export async function callProcess(call: ProcessCall): Promise<string> {
  const { signal, timeoutMs } = call;
  const { child, ended } = await start(call);
  const output = new Output(child);
  const lapsed = Symbol('lapsed');
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  try {
    const timeout = new Promise<typeof lapsed>((resolve) => {
      timer = setTimeout(() => resolve(lapsed), timeoutMs);
    });
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(EruError.from(signal?.reason));
      signal?.addEventListener('abort', onAbort, { once: true });
    });
    child.stdin?.on('error', () => {}); // It may answer without reading its input.
    child.stdin?.end(call.input);
    const end = await Promise.race([ended, output.overflow, timeout, aborted]);
    if (end === lapsed) throw failure(call, 'hang', `no answer within ${timeoutMs} ms, killed`, output.words);
    if (end === 'overflow')
      throw failure(call, 'huge', `more than ${answerLimit / 2 ** 20} MiB of answer, killed`, output.words);
    if (end instanceof Error) throw failure(call, 'start', `cannot be started: ${end.message}`, '', end);
    await Promise.race([output.closed, timeout, pause(lingerMs)]);
    if (end.signal !== null) throw failure(call, 'crash', `died of ${end.signal}`, output.words);
    if (end.code !== 0) throw failure(call, 'refused', `exit status ${end.code}`, output.words || output.text());
    return output.text();
  } finally {
    clearTimeout(timer);
    if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
    await endGroup(child);
    output.close();
  }
}

let lastTurn: Promise<unknown> = Promise.resolve();

/** Starting a process holds the event loop for milliseconds: one at a time, and everything else in between. */
function turnToStart(): Promise<unknown> {
  lastTurn = lastTurn.then(() => new Promise((resolve) => setImmediate(resolve)));
  return lastTurn;
}

/** A file that somebody is copying at this moment is busy for the time that takes. */
async function start(call: ProcessCall, attempts = 10): Promise<Started> {
  const { path, command, folder: cwd } = call;
  await turnToStart();
  call.signal?.throwIfAborted();
  try {
    const child = spawn(path, [command], { cwd, env: childEnvironment(), detached: true, stdio: 'pipe' });
    return { child, ended: endOf(child) };
  } catch (error) {
    if (!isErrno(error, 'ETXTBSY') || attempts === 1)
      throw failure(call, 'start', `cannot be started: ${(error as Error).message}`, '', error);
    await pause(50);
    return start(call, attempts - 1);
  }
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<End | Error>;
}

interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

function endOf(child: ChildProcess): Promise<End | Error> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error));
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

/** Collects standard output up to a limit, and the last words on standard error. */
class Output {
  readonly overflow: Promise<'overflow'>;
  readonly closed: Promise<void>;
  readonly #child: ChildProcess;
  readonly #chunks: Buffer[] = [];
  #words = Buffer.alloc(0);

  constructor(child: ChildProcess) {
    this.#child = child;
    let size = 0;
    this.overflow = new Promise((resolve) => {
      child.stdout?.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= answerLimit) this.#chunks.push(chunk);
        else resolve('overflow');
      });
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#words = Buffer.concat([this.#words, chunk]).subarray(-wordsLimit);
    });
    this.closed = new Promise((resolve) => child.once('close', () => resolve()));
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }

  get words(): string {
    return this.#words.toString('utf8').trim();
  }

  /** A grandchild in another group may still hold the other ends. */
  close(): void {
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) stream?.destroy();
  }
}

/**
 * Kills what is left of the group, and waits until it is gone: whoever repairs what the plugin did must come after its
 * last write. Bounded, for a process that is stuck in the kernel.
 */
async function endGroup({ pid }: ChildProcess): Promise<void> {
  if (pid === undefined) return;
  for (let waitedMs = 0; kill(-pid) && waitedMs < 200; waitedMs += 10) await pause(10);
}

/** Whether there was anybody to kill. */
function kill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch {
    return false;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
