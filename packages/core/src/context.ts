import { EruError, type Clock, type Logger, type Random } from '@eru/kit';
import type { Engine } from '@eru/engines';
import type { Scheduler } from '@eru/scheduler';
import type { Store } from '@eru/store';

import type { Committer } from './commit.ts';
import type { Tenure } from './membership.ts';
import type { Turns } from './turns.ts';
import type { ClusterView } from './view.ts';

/** What every operation works with. */
export interface Context {
  store: Store;
  view: ClusterView;
  scheduler: Scheduler;
  committer: Committer;
  turns: Turns;
  clock: Clock;
  random: Random;
  logger: Logger;
  limits: CoreLimits;
  /** The engine of a node; `not_found` without such a node, `unsupported` for an endpoint that no engine of ours serves. */
  engineOf(node: string): Engine;
  /** Operations that run in this process; one at a time for each id. */
  running: Set<string>;
}

export interface CoreLimits {
  /** How long a claim of a living operation is waited for (`lock_timeout`). */
  lockTimeoutMs: number;
  /** Plans tried before a reservation that keeps losing is refused. */
  reserveAttempts: number;
  /** Engine calls of one operation at the same time. */
  concurrentEffects: number;
}

export const defaultLimits: CoreLimits = { lockTimeoutMs: 30_000, reserveAttempts: 64, concurrentEffects: 64 };

/** Runs an effect that cannot be fenced by the store: not before this core is sure of its lease, not after it is lost. */
export async function effect<T>(context: Context, tenure: Tenure, run: () => Promise<T>): Promise<T> {
  while (!tenure.held()) {
    if (tenure.signal.aborted) throw EruError.from(tenure.signal.reason);
    await context.clock.sleep(100, tenure.signal);
  }
  return run();
}
