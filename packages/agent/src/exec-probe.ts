import type { Engine } from '@eru/engines';
import { EruError } from '@eru/kit';

import type { Health } from './health.ts';

/** How much of what a command has said goes into the reason. */
const wordsKept = 200;

/** Runs a command in the workload; healthy when it ends with 0 within the limit. Rejects only when aborted. */
export async function probeByCommand(
  engine: Engine,
  id: string,
  command: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<Health> {
  const limit = AbortSignal.timeout(limitMs);
  const either = AbortSignal.any([signal, limit]);
  const name = `command ${JSON.stringify(command)}`;
  try {
    const words = ['/bin/sh', '-c', command];
    const spec = { command: words, env: [], dir: '', user: '', stdin: false, tty: false };
    const session = await engine.exec(id, spec, { signal: either, timeoutMs: limitMs });
    const aborted = new Promise<never>((_, reject) => {
      either.addEventListener('abort', () => reject(EruError.from(either.reason)), { once: true });
    });
    try {
      const [said, code] = await Promise.race([Promise.all([firstWords(session.output), session.exit]), aborted]);
      if (code === 0) return { healthy: true, reason: '' };
      return { healthy: false, reason: `${name} ended with ${code}${said === '' ? '' : `: ${said}`}` };
    } finally {
      session.exit.catch(() => {}); // A session that is closed early has no exit code, and nobody waits for it.
      await session.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) return { healthy: false, reason: `${name}: not done within ${limitMs / 1000} s` };
    return { healthy: false, reason: `${name}: ${EruError.from(error).message}` };
  }
}

/** Everything is read, so that the command is not held back; little is kept. */
async function firstWords(output: AsyncIterable<{ data: Uint8Array }>): Promise<string> {
  let kept = '';
  for await (const { data } of output)
    if (kept.length < wordsKept) kept += Buffer.from(data).toString('utf8', 0, wordsKept);
  return kept.slice(0, wordsKept).replaceAll(/\s+/g, ' ').trim();
}
