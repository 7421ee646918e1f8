import type { BuildSettings } from '../build/build-settings.ts';
import type { Context } from '../context.ts';
import type { Engines } from '../nodes/engine-clients.ts';
import type { Membership } from '../state/membership.ts';
import type { Candidates } from './candidates.ts';
import type { OperationLog } from './operation-log.ts';

/** What every method works with. */
export interface Edge {
  context: Context;
  membership: Membership;
  engines: Engines;
  candidates: Candidates;
  operations: OperationLog;
  builds: BuildSettings;
  /** Told how many instances were begun. */
  deployed: (instances: number) => void;
  /** The identity of the cluster: `Info.identifier`, label `eru.coreid`. */
  identifier: string;
  version: string;
  /** Aborts when this core stops: streams that have no end of their own end, with OK. */
  closing: AbortSignal;
}

/** Engines or workloads that one call deals with at the same time. */
export const concurrency = 64;
