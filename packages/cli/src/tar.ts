import { spawn, type ChildProcess } from 'node:child_process';
import { EruError } from '@eru/kit';

import type { Context } from './context.ts';

export function startTar(args: string[]): ChildProcess {
  const tar = spawn('tar', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  tar.stdin.on('error', () => {}); // its exit code tells why it reads no more
  return tar;
}

export async function* outputOf({ stdout }: ChildProcess): AsyncGenerator<Uint8Array> {
  if (stdout !== null) for await (const piece of stdout) yield piece as Uint8Array;
}

/** @throws EruError with what `tar` says when it fails */
export function ended(tar: ChildProcess, { signal }: Pick<Context, 'signal'>): Promise<void> {
  let said = '';
  tar.stderr?.on('data', (part: Buffer) => {
    said += part.toString();
  });
  const stop = (): void => void tar.kill('SIGKILL');
  signal.addEventListener('abort', stop, { once: true });
  return new Promise<void>((resolve, reject) => {
    tar.on('error', (cause) => reject(new EruError('failed', `cannot run tar: ${cause.message}`, { cause })));
    tar.on('close', (code) => {
      signal.removeEventListener('abort', stop);
      if (code === 0) resolve();
      else reject(new EruError('failed', said.trim() || `tar ended with ${code}`));
    });
  });
}
