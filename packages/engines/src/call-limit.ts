import { deadline, EruError } from '@eru/kit';
import type { Clock } from '@eru/kit';

import type { CallOptions, Engine } from './engine.ts';

export type EngineVerb = Exclude<keyof Engine, 'close'>;

/** How long a caller waits where it does not say. Streams and `wait` have no limit. */
const defaultMs = 30_000;

/** These end processes, make file systems or move images: slow on a busy machine, and still right. */
const slowMs = 120_000;
const slow: ReadonlySet<EngineVerb> = new Set([
  'create',
  'stop',
  'remove',
  'imageRemove',
  'imagePrune',
  'imageBuildPrune',
  'imageCommit',
  'copyTo',
]);

/**
 * The time a caller waits for `verb`: what it asked for, else the verb's own. A stop also gets the grace time; Infinity =
 * no limit.
 */
export function callLimitMs(verb: EngineVerb, timeoutMs: number | undefined, graceMs = 0): number {
  if (timeoutMs !== undefined) return timeoutMs;
  if (verb === 'wait') return Number.POSITIVE_INFINITY;
  return (slow.has(verb) ? slowMs : defaultMs) + graceMs;
}

/** Waits for `work` no longer than the limit or the caller's signal allow; `work` itself goes on. */
export async function waitFor<T>(
  work: Promise<T>,
  what: string,
  { signal, timeoutMs = Number.POSITIVE_INFINITY }: CallOptions,
  clock: Clock,
): Promise<T> {
  if (signal === undefined && timeoutMs === Number.POSITIVE_INFINITY) return work;
  work.catch(() => {}); // Nobody may be left to hear of it.
  const limit =
    timeoutMs === Number.POSITIVE_INFINITY ? { signal: signal!, clear: () => {} } : deadline(clock, timeoutMs, signal);
  let leave = (): void => {};
  const left = new Promise<never>((_resolve, reject) => {
    leave = () => {
      const error = EruError.from(limit.signal.reason);
      reject(error.code === 'timeout' ? new EruError('timeout', `${what}: ${error.message}`, { cause: error }) : error);
    };
    if (limit.signal.aborted) leave();
    else limit.signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([work, left]);
  } finally {
    limit.clear();
    limit.signal.removeEventListener('abort', leave);
  }
}
