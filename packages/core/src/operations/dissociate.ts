import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type DissociateOperation, type ReleaseRecord } from '../state/records.ts';
import type { RequestKey } from './requests.ts';
import { finishOnWorkload, type Machine } from './workload-run.ts';

/** Forgets a workload: its booking is given back, its object runs on and is never touched again. */
export async function dissociateWorkload(
  context: Context,
  tenure: Tenure,
  { id, request }: { id: string; request?: RequestKey | undefined },
  signal: AbortSignal,
): Promise<void> {
  const operation = { kind: 'dissociate' as const };
  await finishOnWorkload(context, tenure, { id, operation, machine: dissociateMachine, request }, signal);
}

export const dissociateMachine: Machine<DissociateOperation> = {
  effects: {},
  transactions: {
    release: (run) => {
      const { id, name, node, resources } = run.record.value;
      return {
        own: [{ key: keys.release(id), revision: 0, value: encode({ v: 1, name, node } satisfies ReleaseRecord) }],
        deletes: [keys.workload(id), keys.workloadStatus(id)],
        booking: { add: [], subtract: [resources] },
      };
    },
  },
};
