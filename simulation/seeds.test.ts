import { expect, it } from 'vitest';

import { runSeed } from './seeds.ts';

const seeds = 240;
/** Seeds of one test, so that a failure is near its cause. */
const each = 20;

it.each(Array.from({ length: seeds / each }, (_, index) => 1 + index * each))(
  'seeds from %i on break nothing',
  { timeout: 240_000 },
  async (first) => {
    const broken: string[] = [];
    for (let seed = first; seed < first + each; seed++) {
      const result = await runSeed(seed);
      for (const sentence of result.broken)
        broken.push(`npm run simulate -- --seed ${seed}: ${result.what}: ${sentence}`);
    }
    expect(broken).toEqual([]);
  },
);

it('a seed replays: the same run again', async () => {
  for (const seed of [1, 2, 3]) expect(await runSeed(seed)).toEqual(await runSeed(seed));
});
