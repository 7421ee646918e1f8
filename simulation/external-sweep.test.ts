import { describe, expect, it } from 'vitest';

import { countPoints, sweep, sweepOne } from './crash-sweep.ts';
import { externalScenarios } from './external-scenarios.ts';

/** The seed of every run below; a failure names scenario, await and disturbance, which with it (ERU_SEED) replay the run. */
const seed = Number(process.env['ERU_SEED'] ?? 11);

describe.each(externalScenarios)('$name, with an external kind, disturbed at every await', (scenario) => {
  it('asks the kind', async () => {
    const points = await countPoints(scenario, seed);
    expect(points.some(({ call }) => call.startsWith('kinds.'))).toBe(true);
  });

  it.each([
    { disturbance: 'crash', every: 1 },
    { disturbance: 'error', every: 1 },
    { disturbance: 'cut', every: 8 },
    { disturbance: 'partition', every: 8 },
    { disturbance: 'succession', every: 8 },
    { disturbance: 'sleep', every: 8 },
  ] as const)('keeps every invariant through: $disturbance', { timeout: 240_000 }, async ({ disturbance, every }) => {
    expect(await sweep(scenario, seed, disturbance, { every })).toEqual([]);
  });
});

it('tells a late call, which no fence stops, from a wrong sum', async () => {
  const scenario = externalScenarios.find(({ name }) => name === 'create whose start is refused');
  expect(scenario && (await sweepOne(scenario, 3390, 14, 'sleep'))).toEqual([]);
});
