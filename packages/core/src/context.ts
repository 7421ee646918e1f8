import type { Clock, Logger, Random } from '@eru/kit';
import type { Engine, Registries } from '@eru/engines';
import type { Scheduler } from '@eru/scheduler';
import type { Store } from '@eru/store';

import type { Committer } from './state/commit.ts';
import type { CoreCertificates } from './trust/core-certificates.ts';
import type { Measures } from './measures.ts';
import type { External } from './external/external.ts';
import type { Turns } from './operations/turns.ts';
import type { ClusterView } from './state/view.ts';

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
  measures: Measures;
  limits: CoreLimits;
  /** In which order this core takes nodes that are equally good (`seed` of a plan). */
  planSeed(): string;
  /** What this core shows of itself. */
  certificates: CoreCertificates;
  /** Kinds whose usage lives elsewhere; absent = there are none. */
  external?: External;
  /** The engine of a node; `not_found` without such a node, `unsupported` for an endpoint that no engine of ours serves. */
  engineOf(node: string): Engine;
  /** Where images come from and go to, and who we are there. */
  registries: Registries;
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
  /** How long one end of a transfer may give or take nothing, and how long in all it may hold up the others. */
  transferIdleMs: number;
  /** How long external kinds may take over one question, all of them together. */
  externalMs: number;
  /** How long an engine is waited for when a node is added or asked for its info (the original's connection timeout). */
  connectMs: number;
}

export const defaultLimits: CoreLimits = {
  lockTimeoutMs: 30_000,
  reserveAttempts: 64,
  concurrentEffects: 64,
  transferIdleMs: 30_000,
  externalMs: 30_000,
  connectMs: 10_000,
};
