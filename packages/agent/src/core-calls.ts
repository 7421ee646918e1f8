import type { Core } from '@eru/client';

/** All that an agent asks of core; the part of a `Core` that tests have to fake. */
export interface CoreCalls {
  readonly core: Pick<Core['core'], 'setNodeStatus' | 'getNode' | 'addNode' | 'addPod'>;
  readonly eru: Pick<Core['eru'], 'reportWorkloads'>;
}
