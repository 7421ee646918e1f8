import type { Context } from '../context.ts';
import type { Tenure } from '../state/membership.ts';
import type { ControlOperation, ControlType } from '../state/records.ts';
import { paramsOf } from './remap.ts';
import type { RequestKey } from './requests.ts';
import { finishOnWorkload, type Machine, type WorkloadRun } from './workload-run.ts';

export interface ControlRequest {
  id: string;
  type: ControlType;
  /** Hook failures are ignored; a stop kills at once. */
  force: boolean;
  request?: RequestKey | undefined;
}

/** Starts, stops, restarts, suspends or resumes one workload; resolves with the hooks' output. */
export async function controlWorkload(
  context: Context,
  tenure: Tenure,
  { id, type, force, request }: ControlRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const operation = { kind: 'control' as const, type, force };
  const run = await finishOnWorkload(context, tenure, { id, operation, machine: controlMachine, request }, signal);
  return run.printed();
}

export const controlMachine: Machine<ControlOperation> = {
  effects: {
    stopHooks: (run) => hooks(run, 'beforeStop'),
    startHooks: (run) => hooks(run, 'afterStart'),
    stop: (run) => {
      const grace = run.operation.force ? { graceMs: 0 } : {};
      return run.call((engine, options) => engine.stop(run.record.value.id, { ...options, ...grace }));
    },
    start: (run) => run.call((engine, options) => engine.start(run.record.value.id, options)),
    suspend: (run) => run.call((engine, options) => engine.suspend(run.record.value.id, options)),
    resume: (run) => run.call((engine, options) => engine.resume(run.record.value.id, options)),
    limits: async (run) => {
      const { value: record } = run.record;
      await run.call((engine, options) =>
        engine.update(record.id, paramsOf(run.context, record.node, record), options),
      );
    },
  },
  transactions: {},
};

async function hooks(run: WorkloadRun<ControlOperation>, when: 'beforeStop' | 'afterStart'): Promise<void> {
  const { value: record } = run.record;
  const mandatory = record.hook?.force === true && !run.operation.force;
  await run.hooks(record.id, record.hook?.[when] ?? [], {
    mandatory,
    record,
    as: when === 'beforeStop' ? 'stop' : 'start',
  });
}
