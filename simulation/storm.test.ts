import { expect, it } from 'vitest';

import { runStorm } from './storm.ts';

it.each(Array.from({ length: 12 }, (_, index) => index + 1))(
  'a storm with seed %i breaks nothing',
  { timeout: 120_000 },
  async (seed) => {
    const { broken, awaits } = await runStorm({ seed, operations: 25, errors: 0.02, crashes: 0.004 });
    expect(awaits).toBeGreaterThan(100);
    expect(broken).toEqual([]);
  },
);

it.each([1, 2, 3, 4, 5, 6])(
  'a storm with seed %i, in which cores lose their way to the store, breaks nothing',
  { timeout: 120_000 },
  async (seed) => {
    const { broken } = await runStorm({ seed, operations: 25, errors: 0.01, crashes: 0.002, outages: 0.2 });
    expect(broken).toEqual([]);
  },
);

it('replays: the same seed gives the same run', async () => {
  const storm = { seed: 99, operations: 10, errors: 0.02, crashes: 0.01, outages: 0.2 };
  expect(await runStorm(storm)).toEqual(await runStorm(storm));
});
