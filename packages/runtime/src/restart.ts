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

/** Whether and when its policy starts it again (docker's rules: 100 ms, doubled up to a minute, anew after ten steady seconds). */
export function decideRestart(
  policy: RestartPolicy,
  ended: EndedRun,
): { restart: false } | { restart: true; pauseMs: number; failures: number } {
  if (policy.type === 'no') return { restart: false };
  if (policy.type === 'on-failure') {
    if (ended.exitCode === 0) return { restart: false };
    if (policy.retries > 0 && ended.attempts >= policy.retries) return { restart: false };
  }
  const failures = ended.lastedMs >= steadyMs ? 0 : ended.failures;
  const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(failures, 20));
  return { restart: true, pauseMs, failures: failures + 1 };
}
