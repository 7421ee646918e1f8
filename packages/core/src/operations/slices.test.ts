import { expect, test } from 'vitest';
import { inSlices } from './slices.ts';
import type { Clock } from '@eru/kit';

/** A calculation of 4 ms steps. */
function* steps(count: number, pass: (ms: number) => void): Generator<undefined, string, undefined> {
  for (let step = 0; step < count; step += 1) {
    pass(4);
    yield;
  }
  return 'done';
}

function clockOf(now: { ms: number }): Clock {
  return { monotonic: () => now.ms } as Clock;
}

test('others have their turn every few steps of a long calculation', async () => {
  const now = { ms: 0 };
  let turns = 0;
  let over = false;
  const others = (): void => {
    turns += 1;
    if (!over) setImmediate(others);
  };
  setImmediate(others);
  const result = await inSlices(
    steps(30, (ms) => (now.ms += ms)),
    clockOf(now),
  );
  over = true;
  expect(result).toBe('done');
  expect(turns).toBeGreaterThanOrEqual(9);
});

test('a short one is done at once, and one that nobody waits for ends', async () => {
  const now = { ms: 0 };
  const pass = (ms: number): void => {
    now.ms += ms;
  };
  const aborted = AbortSignal.abort();
  expect(await inSlices(steps(2, pass), clockOf(now), aborted)).toBe('done');
  await expect(inSlices(steps(30, pass), clockOf(now), aborted)).rejects.toMatchObject({ code: 'canceled' });
});
