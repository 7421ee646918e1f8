import type { RestartPolicy } from '@eru/engines';

/** A run that lasted this long counts as a good one: the back-off begins anew. */
const steadyMs = 10_000;
const firstPauseMs = 100;
const longestPauseMs = 60_000;

export interface EndedRun {
  exitCode: number;
  lastedMs: number;
  /** Restarts in a row before this run, none of which was steady. */
  failures: number;
  /** Restarts since somebody last started it by hand; what `on-failure:n` counts. */
  attempts: number;
}

/** Whether its policy starts it again; `pauseAfter` says when (docker's rules: 100 ms, doubled up to a minute, anew after ten steady seconds). */
export function decideRestart(
  policy: RestartPolicy,
  ended: EndedRun,
): { restart: false } | { restart: true; failures: number } {
  if (policy.type === 'no') return { restart: false };
  if (policy.type === 'on-failure') {
    if (ended.exitCode === 0) return { restart: false };
    if (policy.retries > 0 && ended.attempts >= policy.retries) return { restart: false };
  }
  const failures = ended.lastedMs >= steadyMs ? 0 : ended.failures;
  return { restart: true, failures: failures + 1 };
}

/** How long a restart waits after so many ends in a row, ms. */
export function pauseAfter(failures: number): number {
  return Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(Math.max(0, failures - 1), 20));
}
