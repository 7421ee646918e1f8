import { EruError } from '@eru/kit';

import { noSuchWorkload } from '../absent.ts';
import type { Context } from '../context.ts';

/**
 * The tar stream of a file or folder of a workload, read at the pace of the consumer. @throws EruError `timeout` when its engine
 * gives nothing for too long while it is waited for
 */
export async function* archiveOf(
  context: Context,
  id: string,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { view, clock, limits } = context;
  const record = view.workloads.get(id)?.value;
  if (record === undefined) throw noSuchWorkload(id);
  const idle = new AbortController();
  const silence = new EruError('timeout', `nothing came for ${limits.transferIdleMs / 1000} s`);
  const archive = context.engineOf(record.node).copyFrom(id, path, { signal: AbortSignal.any([signal, idle.signal]) });
  const pieces = archive[Symbol.asyncIterator]();
  try {
    for (;;) {
      const timer = clock.timer(limits.transferIdleMs, () => idle.abort(silence));
      const { value, done } = await pieces.next().finally(() => timer.cancel());
      if (done === true) return;
      yield value;
    }
  } finally {
    await pieces.return?.();
  }
}
