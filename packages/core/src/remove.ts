import { EruError, isEruError } from '@eru/kit';

import { commitWithBookings } from './booking.ts';
import { claim, endWrites, mark, type Claimed } from './claim.ts';
import { effect, type Context } from './context.ts';
import { runHooks } from './hooks.ts';
import { keys } from './keys.ts';
import type { Tenure } from './membership.ts';
import type { RemoveOperation } from './records.ts';
import { removeUntilGone } from './removal.ts';

export interface RemoveRequest {
  id: string;
  /** Failing hooks are ignored, and the engine removes what still runs. */
  force: boolean;
  /** The full flow: before-stop hooks and stop first. Without it a running workload is refused unless forced (the wire's RemoveWorkload). */
  stop: boolean;
  /** Between TERM and KILL; null = the engine's default. */
  graceMs: number | null;
}

/** Removes one workload; resolves with the hooks' output when it is gone, record and all. */
export async function removeWorkload(
  context: Context,
  tenure: Tenure,
  request: RemoveRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { id, ...how } = request;
  const operation: RemoveOperation = {
    v: 1,
    kind: 'remove',
    id: context.random.letters(16),
    owner: tenure.owner,
    createdAtMs: context.clock.now(),
    key: '',
    state: 'trying',
    workload: id,
    hooks: 'pending',
    ...how,
  };
  context.running.add(operation.id);
  try {
    return await finishRemove(context, tenure, await claim(context, tenure, id, operation, signal));
  } finally {
    context.running.delete(operation.id);
  }
}

/** Goes on from where the header says; also what a takeover does. */
export async function finishRemove(
  context: Context,
  tenure: Tenure,
  begun: Claimed<RemoveOperation>,
): Promise<Uint8Array> {
  let claimed = begun;
  let output: Uint8Array = new Uint8Array();
  if (claimed.operation.state === 'trying') {
    try {
      ({ claimed, output } = await prepare(context, tenure, claimed));
    } catch (error) {
      // Refused before anything was done: the workload stays as it is.
      if (!isEruError(error, 'fenced') && !tenure.signal.aborted)
        await context.committer.commit(tenure, { own: endWrites(claimed, claimed.operation.workload) });
      throw error;
    }
  }
  const { value: record } = claimed.record;
  const engine = () => context.engineOf(record.node);
  const { stop, graceMs } = claimed.operation;
  if (stop) {
    // Best effort: what a stop cannot end, the forced removal does.
    await effect(context, tenure, () =>
      engine().stop(record.id, {
        revision: claimed.right,
        signal: tenure.signal,
        ...(graceMs !== null && { graceMs }),
      }),
    ).catch((error: unknown) => {
      if (tenure.signal.aborted) throw error;
      context.logger.warn({ err: error, workload: record.id }, 'stop before removal failed');
    });
  }
  await effect(context, tenure, () =>
    removeUntilGone(
      context,
      engine,
      { name: record.name, operation: record.operation, id: record.id },
      tenure.signal,
      (error) =>
        context.logger.warn({ err: error, workload: record.id, node: record.node }, 'cannot remove a workload yet'),
    ),
  );
  const result = await commitWithBookings(
    context,
    tenure,
    { own: endWrites(claimed, record.id), deletes: [keys.workload(record.id), keys.workloadStatus(record.id)] },
    [{ node: record.node, add: [], subtract: [record.resources] }],
  );
  if (!result.committed) throw new EruError('fenced', `operation ${claimed.operation.id} was taken over`);
  return output;
}

/** Everything that may still refuse: the engine for a running workload, a mandatory hook. Then the decision is written. */
async function prepare(
  context: Context,
  tenure: Tenure,
  begun: Claimed<RemoveOperation>,
): Promise<{ claimed: Claimed<RemoveOperation>; output: Uint8Array }> {
  let claimed = begun;
  let output: Uint8Array = new Uint8Array();
  const { value: record } = claimed.record;
  const engine = context.engineOf(record.node);
  const { force, stop } = claimed.operation;
  if (!stop && !force)
    await effect(context, tenure, () => engine.remove(record.id, { force: false, signal: tenure.signal }));
  const hooks = record.hook?.beforeStop ?? [];
  if (
    stop &&
    hooks.length > 0 &&
    claimed.operation.hooks === 'pending' &&
    (await isRunning(context, record.id, record.node, tenure.signal))
  ) {
    claimed = await mark(context, tenure, claimed, { ...claimed.operation, hooks: 'begun' });
    const outcome = await effect(context, tenure, () =>
      runHooks(engine, record.id, hooks, {
        mandatory: record.hook?.force === true && !force,
        env: record.env,
        user: record.user,
        signal: tenure.signal,
      }),
    );
    output = outcome.output;
    if (outcome.failure !== undefined) throw outcome.failure;
  }
  return { claimed: await mark(context, tenure, claimed, { ...claimed.operation, state: 'removing' }), output };
}

async function isRunning(context: Context, id: string, node: string, signal: AbortSignal): Promise<boolean> {
  try {
    return (await context.engineOf(node).inspect(id, { signal })).state === 'running';
  } catch (error) {
    if (isEruError(error, 'not_found')) return false;
    throw error;
  }
}
