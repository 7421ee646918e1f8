import { describe, expect, it } from 'vitest';

import { countPoints, sweepOne } from './crash-sweep.ts';
import { externalScenarios } from './external-scenarios.ts';

/** The seed of every run below; a failure names scenario, await and fate, which with it replay the run. */
const seed = 11;

describe.each(externalScenarios)('$name, with an external kind, disturbed at every await', (scenario) => {
  for (const fate of ['crash', 'error'] as const) {
    it(`keeps every invariant through a ${fate}`, { timeout: 240_000 }, async () => {
      const points = await countPoints(scenario, seed);
      expect(points.some(({ call }) => call.startsWith('kinds.'))).toBe(true);
      const broken: string[] = [];
      for (const [index, { call, phase }] of points.entries()) {
        for (const sentence of await sweepOne(scenario, seed, index, fate))
          broken.push(`${fate} at ${index}, ${phase} ${call}: ${sentence}`);
      }
      expect(broken).toEqual([]);
    });
  }
});
