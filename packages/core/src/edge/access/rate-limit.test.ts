import { EruError, VirtualClock } from '@eru/kit';
import { beforeEach, expect, test } from 'vitest';

import { RateLimit } from './rate-limit.ts';

let clock: VirtualClock;
let limit: RateLimit;
beforeEach(() => {
  clock = new VirtualClock();
  limit = new RateLimit(clock, 10);
});

/** How many calls pass at once. */
function burst(caller: string, most = 1000): number {
  for (let passed = 0; passed < most; passed++) {
    try {
      limit.take(caller);
    } catch {
      return passed;
    }
  }
  return most;
}

test('five seconds of calls at once, then as many as the time allows', async () => {
  expect(burst('ci@10.0.0.1')).toBe(50);
  await clock.advance(1000);
  expect(burst('ci@10.0.0.1')).toBe(10);
  await clock.advance(99);
  expect(burst('ci@10.0.0.1')).toBe(0);
  await clock.advance(1);
  expect(burst('ci@10.0.0.1')).toBe(1);
  await clock.advance(3_600_000);
  expect(burst('ci@10.0.0.1')).toBe(50);
});

test('a refusal says when to come again, and then it is right', async () => {
  burst('ci@10.0.0.1');
  let refusal: EruError | undefined;
  try {
    limit.take('ci@10.0.0.1');
  } catch (error) {
    refusal = EruError.from(error);
  }
  expect(refusal).toMatchObject({ code: 'throttled', details: { retryAfterMs: 100 } });
  await clock.advance(100);
  expect(burst('ci@10.0.0.1')).toBe(1);
});

test('one caller is not held for another', () => {
  burst('ci@10.0.0.1');
  expect(burst('ci@10.0.0.2')).toBe(50);
});

test('0 is no limit, and a change counts at once', () => {
  burst('ci@10.0.0.1');
  limit.set(0);
  expect(burst('ci@10.0.0.1')).toBe(1000);
  limit.set(10);
  expect(burst('ci@10.0.0.1')).toBe(0);
});

test('past ten thousand busy callers the others share one measure, until some are idle', async () => {
  for (let index = 0; index < 10_000; index++) limit.take(`c${index}`);
  expect(burst('late')).toBe(50);
  expect(burst('later')).toBe(0);
  await clock.advance(100);
  expect(burst('latest')).toBe(50);
});
