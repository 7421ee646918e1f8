import { describe, expect, it } from 'vitest';

import { decideRestart, pauseAfter, type EndedRun } from './restart.ts';

const ended: EndedRun = { exitCode: 1, lastedMs: 50, failures: 0, attempts: 0 };

describe('restart policy', () => {
  it('restarts what its policy names', () => {
    const restarts = (type: 'no' | 'on-failure' | 'always' | 'unless-stopped', exitCode: number): boolean =>
      decideRestart({ type, retries: 0 }, { ...ended, exitCode }).restart;
    expect([restarts('no', 1), restarts('on-failure', 0), restarts('on-failure', 1)]).toEqual([false, false, true]);
    expect([restarts('always', 0), restarts('unless-stopped', 0)]).toEqual([true, true]);
  });

  it('gives up after the retries that it has', () => {
    const policy = { type: 'on-failure', retries: 2 } as const;
    expect([0, 1, 2].map((attempts) => decideRestart(policy, { ...ended, attempts }).restart)).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('waits twice as long after each end, at most a minute, and begins anew after a steady run', () => {
    expect([1, 2, 3, 4].map(pauseAfter)).toEqual([100, 200, 400, 800]);
    expect(pauseAfter(1000)).toBe(60_000);
    const policy = { type: 'always', retries: 0 } as const;
    expect(decideRestart(policy, { ...ended, failures: 5 })).toEqual({ restart: true, failures: 6 });
    expect(decideRestart(policy, { ...ended, failures: 5, lastedMs: 10_000 })).toEqual({ restart: true, failures: 1 });
  });
});
