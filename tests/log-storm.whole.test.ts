import { expect, it } from 'vitest';

import { logStorm } from './log-storm.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['runc', 'conmon'], 'a log storm', () => {
  it('holds nobody up: what the files keep arrives once and in order, after a receiver that stops for a while', async () => {
    const storm = { workloads: 5, linesEach: 10_000, lineBytes: 200, pauseMs: 3000, limitMs: 60_000 };
    const result = await logStorm(storm);
    expect(result).toMatchObject({ received: 50_000, missing: 0, disorder: 0, lostBytes: 0 });
    expect(result.peakQueuedBytes).toBeLessThan(4.5 * 2 ** 20);
  });

  it('counts what the files cannot keep, and the rest arrives once and in order', async () => {
    const log = { maxBytes: 512 * 1024, files: 2 };
    const settings = { queueBytes: 256 * 1024 };
    const size = { workloads: 5, linesEach: 30_000, lineBytes: 100, restEvery: 5_000 };
    const result = await logStorm({ ...size, limitMs: 60_000, log, settings });
    expect(result.disorder).toBe(0);
    expect(result.missing).toBeGreaterThan(0);
    expect(result.received).toBe(5 * 30_000 - result.missing);
    // In the file a line has its time and stream in front, and some lines are in two parts.
    expect(result.lostBytes / (result.missing * (100 + 46))).toBeCloseTo(1, 1);
    expect(result.peakQueuedBytes).toBeLessThan(300 * 1024);
  });
});
