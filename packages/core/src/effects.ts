import { EruError, isEruError, retry } from '@eru/kit';

import type { Context } from './context.ts';
import type { Tenure } from './state/membership.ts';

/** Runs an effect that cannot be fenced by the store: not before this core is sure of its lease, not after it is lost. */
export async function effect<T>(context: Context, tenure: Tenure, run: () => Promise<T>): Promise<T> {
  while (!tenure.held()) {
    if (tenure.signal.aborted) throw EruError.from(tenure.signal.reason);
    await context.clock.sleep(100, tenure.signal);
  }
  return run();
}

/** Repeats an effect until its engine has answered: without an answer nobody knows whether it was done. */
export function untilAnswered(context: Context, tenure: Tenure, run: () => Promise<void>): Promise<void> {
  const { clock, random } = context;
  return retry(() => effect(context, tenure, run), {
    signal: tenure.signal,
    clock,
    random,
    baseMs: 200,
    maxMs: 15_000,
    retryable: isUnanswered,
  });
}

function isUnanswered(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
}

/** How often an effect that must be done is tried against an engine that answers and refuses. */
const insistAttempts = 5;

/**
 * Repeats an effect that must be done: for as long as its engine cannot be reached, and some times when it refuses. What it
 * goes on to refuse is only logged: the reconciler looks after the rest.
 */
export async function insist(context: Context, tenure: Tenure, run: () => Promise<void>): Promise<void> {
  const { clock, random, logger } = context;
  let refusals = 0;
  const again = (error: unknown): boolean => {
    if (isUnanswered(error)) return true;
    refusals += 1;
    return !isEruError(error, 'not_found') && !isEruError(error, 'fenced') && refusals < insistAttempts;
  };
  await retry(() => effect(context, tenure, run), {
    signal: tenure.signal,
    clock,
    random,
    baseMs: 200,
    maxMs: 15_000,
    retryable: again,
  }).catch((error: unknown) => {
    if (tenure.signal.aborted || isEruError(error, 'fenced')) throw error;
    logger.warn({ err: error }, 'an engine refuses what must be done');
  });
}
