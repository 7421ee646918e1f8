import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { systemClock } from './clock.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const day = 86_400_000;

test('a timer of months fires after months', async () => {
  const fired: string[] = [];
  systemClock.timer(60 * day, () => fired.push('timer'));
  void systemClock.sleep(60 * day).then(() => fired.push('sleep'));
  const canceled = systemClock.timer(60 * day, () => fired.push('canceled'));
  await vi.advanceTimersByTimeAsync(59 * day);
  expect(fired).toEqual([]);
  canceled.cancel();
  await vi.advanceTimersByTimeAsync(day);
  expect(fired.toSorted()).toEqual(['sleep', 'timer']);
  expect(vi.getTimerCount()).toBe(0);
});
