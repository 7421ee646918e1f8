import { describe, expect, it } from 'vitest';

import { countPoints, pairScenarios, scenarios, sweepOne } from './crash-sweep.ts';

/** The seed of every run below; a failure names scenario, await and fate, which with it replay the run. */
const seed = 7;

describe.each([...scenarios, ...pairScenarios])('$name, disturbed at every await', (scenario) => {
  for (const fate of ['crash', 'error'] as const) {
    it(`keeps every invariant through a ${fate}`, { timeout: 240_000 }, async () => {
      const points = await countPoints(scenario, seed);
      expect(points.length).toBeGreaterThan(3);
      const broken: string[] = [];
      for (const [index, { call, phase }] of points.entries()) {
        for (const sentence of await sweepOne(scenario, seed, index, fate))
          broken.push(`${fate} at ${index}, ${phase} ${call}: ${sentence}`);
      }
      expect(broken).toEqual([]);
    });
  }

  it.each([
    { disturbance: 'succession', what: 'is taken over by a core that lives' },
    { disturbance: 'sleep', what: 'is taken over from a core that wakes up later and goes on' },
  ] as const)('$what', { timeout: 240_000 }, async ({ disturbance }) => {
    const points = await countPoints(scenario, seed);
    const broken: string[] = [];
    // Every third await: what differs is who comes, not where it stopped.
    for (const [index, { call, phase }] of points.entries()) {
      if (index % 3 !== (disturbance === 'sleep' ? 0 : 1)) continue;
      for (const sentence of await sweepOne(scenario, seed, index, disturbance))
        broken.push(`${disturbance} at ${index}, ${phase} ${call}: ${sentence}`);
    }
    expect(broken).toEqual([]);
  });
});
