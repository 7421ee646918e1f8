import type { eru } from '@eru/contract';
import { backoff, EruError, isEruError, systemClock, systemRandom, type Clock, type Random } from '@eru/kit';

import type { Core } from './core.ts';

export interface WatchObjectsOptions {
  /** pod, node, workload, operation; empty or absent = all. */
  kinds?: readonly string[];
  /** The revision of the last batch of an earlier watch; absent = list first. */
  fromRevision?: bigint;
  /** Ends the watch. */
  signal: AbortSignal;
  clock?: Clock;
  random?: Random;
}

export type WatchObjectsEvent =
  /** Forget what was told: a list begins. Also the very first event, unless a revision was given. */
  | { type: 'reset' }
  | { type: 'changes'; changes: readonly eru.ObjectChange[]; revision: bigint }
  /** Everything there is has been told. */
  | { type: 'listed'; revision: bigint };

/** Errors after which the same question gets the same answer. */
const hopeless = ['invalid', 'unauthenticated', 'forbidden', 'unsupported'] as const;

/**
 * A list of everything and then every change, over any number of lost connections and dead cores: each time it goes on from
 * the last revision, at the core that answers then. When that is not known any more it lists again, after a `reset`. Ends
 * when `signal` aborts; throws what no other try would change.
 */
export async function* watchObjects(
  core: Pick<Core, 'eru'>,
  { kinds = [], fromRevision = 0n, signal, clock = systemClock, random = systemRandom }: WatchObjectsOptions,
): AsyncGenerator<WatchObjectsEvent, void> {
  let from = fromRevision;
  for (let failures = 0; !signal.aborted;) {
    try {
      if (from === 0n) yield { type: 'reset' };
      for await (const batch of core.eru.watch({ kinds: [...kinds], fromRevision: from }, { signal })) {
        failures = 0;
        if (batch.changes.length > 0) yield { type: 'changes', changes: batch.changes, revision: batch.revision };
        if (batch.listed) yield { type: 'listed', revision: batch.revision };
        // While it lists there is nothing to go on from.
        if (batch.revision > 0n) from = batch.revision;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (hopeless.some((code) => isEruError(error, code))) throw EruError.from(error);
      if (isEruError(error, 'compacted')) from = 0n;
    }
    failures += 1;
    await clock.sleep(backoff(failures, { random }), signal).catch(() => {}); // aborted: the loop's condition ends it
  }
}
