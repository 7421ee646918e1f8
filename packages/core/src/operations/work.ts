import type { Engine } from '@eru/engines';

import type { Context } from '../context.ts';
import type { Tenure } from '../state/membership.ts';
import type { WorkOperation } from '../state/records.ts';
import { runOnWorkload, type Machine } from './workload-run.ts';

export type Work = (engine: Engine, signal: AbortSignal) => Promise<void>;

/**
 * Claims a workload while something is done to it that its record does not speak of, so that nobody restarts, replaces or
 * removes it meanwhile. When the core dies the work is given up. Throws what the work throws, and what `claim` does.
 */
export async function workOn(
  context: Context,
  tenure: Tenure,
  { id, kind, what, work }: Pick<WorkOperation, 'kind' | 'what'> & { id: string; work: Work },
  signal: AbortSignal,
): Promise<void> {
  const bounded: Work = (engine, ofTenure) => work(engine, AbortSignal.any([signal, ofTenure]));
  const { failure } = await runOnWorkload(
    context,
    tenure,
    { id, operation: { kind, what: what.slice(0, whatChars) }, machine: workMachine(bounded) },
    signal,
  );
  if (failure !== undefined) throw failure;
}

/** Headers are small. */
const whatChars = 200;

/** Without `work` for a takeover, which has none. */
export function workMachine(work: Work | undefined): Machine<WorkOperation> {
  return {
    effects: { work: (run) => run.call(async (engine, { signal }) => work?.(engine, signal)) },
    transactions: {},
  };
}
