import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { childEnvironment, EruError } from '@eru/kit';

/** A folder as a tar stream, owned by root. @throws EruError `failed` with tar's word */
export async function* archiveOf(folder: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const args = ['-C', folder, '--owner=0', '--group=0', '--numeric-owner', '-cf', '-', '.'];
  const child = spawn('tar', args, { stdio: ['ignore', 'pipe', 'pipe'], env: childEnvironment(), signal });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', (cause) => reject(EruError.from(cause)));
    child.once('close', resolve);
  });
  const words = text(child.stderr);
  ended.catch(() => {});
  try {
    yield* child.stdout as AsyncIterable<Uint8Array>;
    const code = await ended;
    if (code !== 0) throw new EruError('failed', `tar ended with ${code}: ${(await words).trim()}`);
  } finally {
    child.kill('SIGKILL');
  }
}
