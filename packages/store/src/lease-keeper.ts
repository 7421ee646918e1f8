import type { Clock } from '@eru/kit';
import { isEruError } from '@eru/kit';

import type { Store } from './store.ts';

export interface KeepLeaseOptions {
  ttlMs: number;
  /** How long before the store could end the lease its holder must have stopped to act on it. */
  marginMs: number;
  clock: Clock;
  /** The store says that the lease has ended. Called once; not after `release` or an abort. */
  onLost: () => void;
  /** Stops renewing; the lease then runs out by itself. */
  signal?: AbortSignal;
}

export interface HeldLease {
  readonly id: string;
  /**
   * False from `ttlMs - marginMs` after the last renewal that the store answered was sent, on the monotonic clock: the
   * store may end the lease soon, so no effect may begin. True again when the lease turns out to have outlived the silence.
   */
  held(): boolean;
  /** Stops renewing and ends the lease, with its keys. */
  release(): Promise<void>;
}

/** Grants a lease and renews it every third of its time until released, aborted or lost: docs/protocol.md, "Tenure and fence". */
export async function keepLease(store: Store, options: KeepLeaseOptions): Promise<HeldLease> {
  const { clock, marginMs, signal } = options;
  let renewedAt = clock.monotonic();
  const lease = await store.grantLease(options.ttlMs);
  const stop = new AbortController();
  const stopped = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let lost = false;

  const renew = async (): Promise<void> => {
    let pauseMs = lease.ttlMs / 3;
    for (;;) {
      await clock.sleep(pauseMs, stopped);
      const sentAt = clock.monotonic();
      try {
        await store.renewLease(lease.id);
        renewedAt = sentAt;
        pauseMs = lease.ttlMs / 3;
      } catch (error) {
        if (stopped.aborted) return;
        if (isEruError(error, 'not_found')) {
          lost = true;
          options.onLost();
          return;
        }
        pauseMs = lease.ttlMs / 9; // Silence: `held` tells it by itself when it has lasted too long.
      }
    }
  };
  // The only thing that can reject is the sleep, by the abort that is meant to end it.
  const renewing = renew().catch((error: unknown) => {
    if (!stopped.aborted) throw error;
  });

  return {
    id: lease.id,
    held: () => !lost && !stopped.aborted && clock.monotonic() - renewedAt <= lease.ttlMs - marginMs,
    release: async () => {
      stop.abort();
      await renewing;
      if (!lost) await store.revokeLease(lease.id);
    },
  };
}
