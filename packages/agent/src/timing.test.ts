import { expect, test } from 'vitest';

import { reportLifeMs, untilNextStartCheck } from './timing.ts';

function series(sweepMs: number, probeMs: number): number[] {
  const at = [0];
  for (let elapsed = probeMs; ;) {
    const pause = untilNextStartCheck(elapsed, sweepMs);
    if (pause === undefined) return at;
    at.push(elapsed + pause);
    elapsed += pause + probeMs;
  }
}

test('a start is checked at 0, 1, 3, 7, 15 s and on, until the gaps are wider than the sweep', () => {
  expect(series(60_000, 0)).toEqual([0, 1, 3, 7, 15, 31, 63].map((second) => second * 1000));
  expect(series(4_000, 0)).toEqual([0, 1000, 3000, 7000]);
  expect(series(500, 0)).toEqual([0]);
});

test('probes that take long cost checks, not order', () => {
  expect(series(60_000, 10_000)).toEqual([0, 15_000, 31_000, 63_000]);
});

test('an unchanged report lives 7/8 to 9/8 of its base', () => {
  expect(reportLifeMs(300_000, 0)).toBe(262_500);
  expect(reportLifeMs(300_000, 1)).toBe(337_500);
});
