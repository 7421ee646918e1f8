import { EruError } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

import type { Context } from '../context.ts';
import { insist } from '../effects.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type ReallocOperation, type WorkloadRecord } from '../state/records.ts';
import { paramsOf } from './remap.ts';
import type { RequestKey } from './requests.ts';
import { runOnWorkload, type Change, type Machine, type WorkloadRun } from './workload-run.ts';

export interface ReallocRequest {
  id: string;
  /** Increments, kind -> request; they may be negative. */
  resources: Resources;
  request?: RequestKey | undefined;
}

/**
 * Changes what a workload has, live and where it is. Resolves when the engine has it; a refusal is thrown as soon as the old
 * amounts stand in the record again, while the engine is still brought back to them.
 */
export function reallocWorkload(
  context: Context,
  tenure: Tenure,
  { id, resources, request }: ReallocRequest,
  signal: AbortSignal,
): Promise<void> {
  const operation = { kind: 'realloc' as const, request: resources };
  return new Promise((resolve, reject) => {
    runOnWorkload(context, tenure, { id, operation, machine: reallocMachine, request, refused: reject }, signal).then(
      ({ failure }) => (failure === undefined ? resolve() : reject(failure)),
      reject,
    );
  });
}

export const reallocMachine: Machine<ReallocOperation> = {
  effects: {
    update: async (run) => {
      const { value: record } = run.record;
      const params = paramsOf(run.context, record.node, record);
      await run.call((engine, options) => engine.update(record.id, params, options));
    },
    /** Until the engine has the old amounts again, or the object is gone. */
    updateBack: (run) => {
      const { value: record } = run.record;
      const params = paramsOf(run.context, record.node, record);
      return insist(run.context, run.tenure, () =>
        run.call(async (engine, options) => void (await engine.update(record.id, params, options))),
      );
    },
  },
  ask: {
    bookLarger: async (run, { kinds }) => {
      const { node, resources } = run.record.value;
      ({ asked: run.asked } = await kinds.realloc(node, resources, run.operation.request, run.tenure.signal));
    },
  },
  transactions: {
    bookLarger: (run) => bookLarger(run),
    /** The room of the old amounts is still booked. */
    restore: (run) => {
      const { old } = run.operation;
      return old === undefined ? {} : rewrite(run, { ...run.record.value, ...old });
    },
    freeSurplus: (run) => {
      const { id, resources } = run.record.value;
      return { booking: { add: [resources], subtract: [run.operation.held?.[id] ?? resources] } };
    },
  },
};

/** Planned on the node as it is now: whatever wins against this transaction changes the plan too. */
function bookLarger(run: WorkloadRun<ReallocOperation>): Change<ReallocOperation> {
  const { view, scheduler } = run.context;
  const { value: record } = run.record;
  const node = view.fleet.get(record.node);
  if (node === undefined) throw new EruError('not_found', `node ${record.node} is not known`);
  const plan = scheduler.realloc(node, record.resources, run.operation.request, run.asked);
  if (!plan.ok) throw new EruError('no_capacity', plan.message, { details: { ...plan.refusal } });
  const { resources, engineParams } = plan;
  const larger = scheduler.maxUsage(record.resources, resources);
  const change = rewrite(run, { ...record, resources, engineParams });
  return {
    ...change,
    operation: {
      old: { resources: record.resources, engineParams: record.engineParams },
      held: { [record.id]: larger },
    },
    booking: { add: [larger], subtract: [record.resources] },
  };
}

function rewrite(run: WorkloadRun<ReallocOperation>, value: WorkloadRecord): Change<ReallocOperation> {
  const { modRevision } = run.record;
  return {
    own: [{ key: keys.workload(value.id), revision: modRevision, value: encode(value) }],
    written: (revision) => run.rewritten(value, revision),
  };
}
