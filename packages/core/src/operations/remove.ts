import type { Context } from '../context.ts';
import { untilAnswered } from '../effects.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import type { RemoveOperation } from '../state/records.ts';
import { removeUntilGone } from './removal.ts';
import type { RequestKey } from './requests.ts';
import { finishOnWorkload, type Machine, type WorkloadRun } from './workload-run.ts';

export interface RemoveRequest {
  id: string;
  /** Failing hooks are ignored, and the engine removes what still runs. */
  force: boolean;
  /** The full flow: before-stop hooks and stop first. Without it a running workload is refused unless forced (the wire's RemoveWorkload). */
  stop: boolean;
  /** Between TERM and KILL; null = the engine's default. */
  graceMs: number | null;
  request?: RequestKey | undefined;
}

/** Removes one workload; resolves with the hooks' output when it is gone, record and all. */
export async function removeWorkload(
  context: Context,
  tenure: Tenure,
  { id, force, stop, graceMs, request }: RemoveRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const operation = { kind: 'remove' as const, force, stop, graceMs };
  const run = await finishOnWorkload(context, tenure, { id, operation, machine: removeMachine, request }, signal);
  return run.printed();
}

export const removeMachine: Machine<RemoveOperation> = {
  effects: {
    stopHooks: async (run) => {
      const { value: record } = run.record;
      if (!(await run.isRunning(record.id))) return;
      const mandatory = record.hook?.force === true && !run.operation.force;
      await run.hooks(record.id, record.hook?.beforeStop ?? [], { mandatory, record, as: 'stop' });
    },
    removeStopped: (run) =>
      untilAnswered(run.context, run.tenure, () =>
        run.call((engine, options) => engine.remove(run.record.value.id, { ...options, force: false })),
      ),
    stopAndRemove: async (run) => {
      await stopIfPossible(run);
      await removeObject(run);
    },
    remove: removeObject,
  },
  transactions: {
    forget: (run) => {
      const { id, resources } = run.record.value;
      return {
        deletes: [keys.workload(id), keys.workloadStatus(id)],
        booking: { add: [], subtract: [resources] },
      };
    },
  },
};

/** What a stop cannot end, the forced removal does. */
async function stopIfPossible(run: WorkloadRun<RemoveOperation>): Promise<void> {
  const { graceMs } = run.operation;
  const { id } = run.record.value;
  await run
    .call((engine, options) => engine.stop(id, { ...options, ...(graceMs !== null && { graceMs }) }))
    .catch((error: unknown) => {
      if (run.tenure.signal.aborted) throw error;
      run.context.logger.warn({ err: error, workload: id }, 'stop before removal failed');
    });
}

async function removeObject(run: WorkloadRun<RemoveOperation>): Promise<void> {
  const { name, operation, id, node } = run.record.value;
  await run.call((_engine, { signal }) =>
    removeUntilGone(
      run.context,
      () => run.engine(),
      { name, operation, id },
      signal,
      (error) => run.context.logger.warn({ err: error, workload: id, node }, 'cannot remove a workload yet'),
    ),
  );
}
