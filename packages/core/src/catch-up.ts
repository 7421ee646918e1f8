import type { Context } from './context.ts';

/**
 * Waits until the watch has delivered everything up to `revision`, a revision of one of our keys. Afterwards all tables of
 * the view are at least that new; a single key may be ahead of the others at any time, because failed transactions are learnt from.
 */
export async function caughtUp({ view, clock }: Context, revision: number, signal: AbortSignal): Promise<void> {
  while (view.revision < revision) await clock.sleep(5, signal);
}
