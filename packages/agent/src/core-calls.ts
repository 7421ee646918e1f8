import type { Client, eru, pb } from '@eru/contract';

/** All that an agent asks of core; a `CoreClient` has it. */
export interface CoreCalls {
  readonly core: Pick<Client<typeof pb.CoreRPC>, 'setNodeStatus'>;
  readonly eru: Pick<Client<typeof eru.Eru>, 'reportWorkloads'>;
}

/** Limit of every call to core and to the engine, other than probes and event streams (reference/agent.md section 3). */
export const callLimitMs = 5_000;
