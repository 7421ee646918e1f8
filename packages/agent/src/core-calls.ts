import type { Core } from '@eru/client';

/** All that an agent asks of core; the part of a `Core` that tests have to fake. */
export interface CoreCalls {
  readonly core: Pick<Core['core'], 'setNodeStatus'>;
  readonly eru: Pick<Core['eru'], 'reportWorkloads'>;
}

/** Limit of every call to core and to the engine, other than probes and event streams (reference/agent.md section 3). */
export const callLimitMs = 5_000;
