import type { ExecSpec, Session, TerminalSize } from '@eru/engines';
import { EruError, Queue, signalNumber } from '@eru/kit';
import { spawn as spawnInTerminal } from '@lydell/node-pty';
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

import type { Command } from './launcher.ts';

type Output = { stream: 'stdout' | 'stderr'; data: Uint8Array };

/** Of a terminal that nobody has measured. */
export const defaultSize: TerminalSize = { rows: 24, cols: 80 };

/** Output pieces held for a reader before the command has to wait. */
export const heldPieces = 256;

/** A command with pipes. Ends when it has ended and its output is read. */
export function pipeSession({ words, env }: Command, spec: ExecSpec): Session {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    stdio: [spec.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    env,
  });
  const output = new Queue<Output>(heldPieces);
  const pump = async (stream: 'stdout' | 'stderr', source: Readable): Promise<void> => {
    // A reader who has left is not waited for; the command goes on.
    for await (const data of source) await output.put({ stream, data: data as Buffer });
  };
  const exit = new Promise<number>((resolve, reject) => {
    child.once('error', (cause) => reject(EruError.from(cause)));
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : signalNumber(signal))));
  });
  exit.catch((error: unknown) => output.end(error));
  // A daemon's grandchild may hold a pipe open for ever: the end of the command ends the session soon after.
  void Promise.all([pump('stdout', child.stdout as Readable), pump('stderr', child.stderr as Readable)]).then(
    () => output.end(),
    (error: unknown) => output.end(error),
  );
  const { stdin } = child;
  stdin?.on('error', () => {}); // It need not read its input.
  return {
    output,
    exit,
    write: (data) =>
      new Promise((resolve, reject) => {
        if (stdin === null || stdin === undefined || stdin.writableEnded)
          return reject(new EruError('precondition', 'stdin is not open'));
        stdin.write(data, () => resolve());
      }),
    closeStdin: () => Promise.resolve(void stdin?.end()),
    resize: () => Promise.reject(new EruError('precondition', 'this command has no terminal')),
    close: () => {
      child.kill('SIGKILL');
      return Promise.resolve();
    },
  };
}

/** A command on a terminal of its own; everything comes on stdout. */
export function terminalSession({ words, env }: Command, spec: ExecSpec): Session {
  const [program = '', ...args] = words;
  const size = spec.size ?? defaultSize;
  const terminal = spawnInTerminal(program, args, {
    rows: size.rows,
    cols: size.cols,
    cwd: '/',
    env: env as Record<string, string>,
    encoding: null,
  });
  const output = new Queue<Output>();
  terminal.onData((data: string | Buffer) => {
    output.push({ stream: 'stdout', data: Buffer.from(data as string) });
    if (output.size < heldPieces) return;
    // Its reader is slow: the command waits.
    terminal.pause();
    void output.drained().then(() => terminal.resume());
  });
  const exit = new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      output.end();
      resolve(signal === undefined || signal === 0 ? exitCode : 128 + signal);
    });
  });
  return {
    output,
    exit,
    write: (data) => Promise.resolve(terminal.write(Buffer.from(data) as unknown as string)),
    // What a terminal's end of input is: Ctrl-D.
    closeStdin: () => Promise.resolve(terminal.write('\u0004')),
    resize: ({ rows, cols }) => Promise.resolve(terminal.resize(cols, rows)),
    close: () => Promise.resolve(terminal.kill('SIGKILL')),
  };
}

/** The caller's signal ends the session too. */
export function leaveOn(signal: AbortSignal | undefined, session: Session): Session {
  const leave = (): void => void session.close();
  signal?.addEventListener('abort', leave, { once: true });
  const ended = (): void => signal?.removeEventListener('abort', leave);
  session.exit.then(ended, ended);
  return session;
}
