import { describe, expect, it } from 'vitest';

import { sweep, type Disturbance } from './crash-sweep.ts';
import { pairScenarios, scenarios } from './scenarios.ts';

/** The seed of every run below; a failure names scenario, await and disturbance, which with it (ERU_SEED) replay the run. */
const seed = Number(process.env['ERU_SEED'] ?? 7);

/** Of some only each n-th await: what differs is who comes, not where it stopped. Seeds (`seeds.test.ts`) choose among all. */
const kinds: readonly { disturbance: Disturbance; every: number; what: string }[] = [
  { disturbance: 'crash', every: 1, what: 'keeps every invariant through a crash' },
  { disturbance: 'error', every: 1, what: 'keeps every invariant through an error, or a reply that is lost' },
  { disturbance: 'cut', every: 6, what: 'goes on after the store was silent for longer than a lease' },
  {
    disturbance: 'partition',
    every: 6,
    what: 'is taken over from a core that has no way to the store for longer than a lease',
  },
  { disturbance: 'succession', every: 6, what: 'is taken over by a core that lives' },
  { disturbance: 'sleep', every: 6, what: 'is taken over from a core that wakes up later and goes on' },
];

describe.each([...scenarios, ...pairScenarios])('$name, disturbed at every await', (scenario) => {
  it.each(kinds)('$what', { timeout: 240_000 }, async ({ disturbance, every }) => {
    expect(await sweep(scenario, seed, disturbance, { every })).toEqual([]);
  });
});
