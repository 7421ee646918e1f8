import { setImmediate } from 'node:timers/promises';
import { EruError, type Clock } from '@eru/kit';
import type { Steps } from '@eru/scheduler';

/** After this much of a long calculation everything else has its turn. */
const sliceMs = 10;

/** Runs a calculation of short steps without holding the event loop; `canceled` when `signal` aborts between two of them. */
export async function inSlices<T>(steps: Steps<T>, clock: Clock, signal?: AbortSignal): Promise<T> {
  let begun = clock.monotonic();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (clock.monotonic() - begun < sliceMs) continue;
    await setImmediate();
    if (signal?.aborted === true) throw EruError.from(signal.reason);
    begun = clock.monotonic();
  }
}
