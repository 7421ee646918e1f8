import type { HealthCheck } from './health-check.ts';
import type { Health } from './health.ts';

/** What the checks of one run of a workload have come to. */
export interface Verdict {
  health: Health;
  /** In a row, of the same outcome as the last check. */
  checks: number;
  lastGood: boolean;
}

/**
 * The verdict after one more check: it turns after as many equal outcomes in a row as the check asks for. In the start
 * period a failure does not count, but nothing is called healthy before it has been found so.
 */
export function nextVerdict(
  before: Verdict | undefined,
  found: Health,
  { failures, successes, startPeriodS }: Pick<HealthCheck, 'failures' | 'successes' | 'startPeriodS'>,
  runningS: number,
): Verdict {
  const checks = before?.lastGood === found.healthy ? before.checks + 1 : 1;
  const was = before?.health.healthy ?? false;
  const turns = checks >= (found.healthy ? successes : failures);
  const spared = !found.healthy && !was && runningS < startPeriodS;
  const healthy = turns ? found.healthy : was;
  return {
    health: { healthy, reason: healthy ? '' : reasonOf() },
    checks: spared ? 0 : checks,
    lastGood: found.healthy,
  };

  function reasonOf(): string {
    if (found.healthy) return `${checks} of ${successes} good checks in a row`;
    return spared ? `starting: ${found.reason}` : found.reason;
  }
}
