import type { CoreClient } from '@eru/client';

/** All that an agent asks of core; the part of a `CoreClient` that tests have to fake. */
export interface CoreCalls {
  readonly core: Pick<CoreClient['core'], 'setNodeStatus'>;
  readonly eru: Pick<CoreClient['eru'], 'reportWorkloads'>;
}

/** Limit of every call to core and to the engine, other than probes and event streams (reference/agent.md section 3). */
export const callLimitMs = 5_000;
