import type { eru } from '@eru/contract';
import type { Clock } from '@eru/kit';
import { EruError } from '@eru/kit';

import type { Connection } from '../connection.ts';
import type { Context } from '../context.ts';
import { Progress } from './progress.ts';
import { listWorkloads } from '../workloads.ts';

interface HealthWait {
  signal: AbortSignal;
  clock: Clock;
  /** Past it, `timeout` with what each of the others is like. */
  timeoutMs: number;
  /** Told of each state that is seen, also when it has not changed. */
  onState?: (workload: eru.Workload) => void;
}

/**
 * Waits until all of these workloads are healthy, and answers them. `failed` as soon as one has ended for good or is gone:
 * waiting longer would not help.
 */
async function waitUntilHealthy(
  connection: Connection,
  ids: readonly string[],
  { signal, clock, timeoutMs, onState }: HealthWait,
): Promise<eru.Workload[]> {
  const deadline = clock.monotonic() + timeoutMs;
  for (;;) {
    const workloads = ids.length === 0 ? [] : await listWorkloads(connection, { words: [...ids] }, signal);
    for (const workload of workloads) onState?.(workload);
    const waiting = workloads.filter(({ status }) => status?.running !== true || !status.healthy);
    if (waiting.length === 0) return workloads;
    const lost = waiting.find((workload) => isOver(workload));
    if (lost !== undefined)
      throw new EruError('failed', `${nameOf(lost)} ${whyNot(lost)}; see: eru logs ${nameOf(lost)}`);
    if (clock.monotonic() >= deadline) {
      const states = waiting.map((workload) => `${nameOf(workload)} ${whyNot(workload)}`).join(', ');
      throw new EruError('timeout', `not healthy within ${timeoutMs / 1000} s: ${states}`);
    }
    await clock.sleep(pollMs, signal);
  }
}

/** Health is checked every few seconds; asking is one read of the view. */
const pollMs = 250;

function isOver({ status, vanishedAt }: eru.Workload): boolean {
  return vanishedAt > 0n || status?.state === 'exited';
}

function nameOf({ record }: eru.Workload): string {
  return record?.name ?? '';
}

function whyNot({ status, vanishedAt }: eru.Workload): string {
  if (vanishedAt > 0n) return 'has vanished from its node';
  if (status === undefined || (status.state === '' && !status.running)) return 'has not been reported yet';
  if (status.state === 'exited')
    return `exited with ${status.exitCode}${status.oomKilled ? ' (out of memory)' : ''}${status.error === '' ? '' : `: ${status.error}`}`;
  const reason = status.reason || status.error;
  if (!status.running) return `is ${status.state}${reason === '' ? '' : `: ${reason}`}`;
  return status.healthy ? 'is healthy' : `is not healthy yet${reason === '' ? '' : `: ${reason}`}`;
}

/** The same, with a line for each workload on standard error. Too late is `failed`: it is not core that gave no answer. */
export async function waitShowing(
  context: Context,
  connection: Connection,
  ids: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const { signal, clock } = context;
  const progress = new Progress(context);
  const onState = (workload: eru.Workload): void => progress.set(nameOf(workload), whyNot(workload));
  try {
    await waitUntilHealthy(connection, ids, { signal, clock, timeoutMs, onState });
  } catch (error) {
    const { code, message } = EruError.from(error);
    throw code === 'timeout' ? new EruError('failed', message, { cause: error }) : error;
  } finally {
    progress.close();
  }
}
