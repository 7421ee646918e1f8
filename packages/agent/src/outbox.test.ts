import { seededRandom } from '@eru/kit';
import { beforeEach, expect, test } from 'vitest';

import { Outbox } from './outbox.ts';
import type { Report } from './report.ts';

const report = (id: string, healthy: boolean): Report => ({ id, status: { healthy } });
const nobody: ReadonlySet<string> = new Set();
let outbox: Outbox;

beforeEach(() => {
  outbox = new Outbox(300_000, seededRandom(1));
});

/** What is sent now, as `id` or `!id` for unhealthy. */
function send(nowMs: number, unknown = nobody): string[] {
  const batch = outbox.take(100, nowMs);
  outbox.delivered(batch, unknown, nowMs);
  return batch.reports.map(({ id, status }) => (status?.healthy === true ? id : `!${id}`));
}

test('what core knows is not sent again before its life is over', () => {
  expect(outbox.offer(report('a', true), 0)).toBe(true);
  expect(send(0)).toEqual(['a']);
  expect(outbox.offer(report('a', true), 262_000)).toBe(false);
  expect(send(262_000)).toEqual([]);
  expect(outbox.offer(report('a', false), 262_000)).toBe(true);
  expect(send(262_000)).toEqual(['!a']);
  expect(outbox.offer(report('a', false), 262_000 + 338_000)).toBe(true);
});

test('only the newest of a workload is kept, and a change that is taken back is not sent', () => {
  outbox.offer(report('a', true), 0);
  send(0);
  outbox.offer(report('a', false), 1);
  outbox.offer(report('a', true), 2);
  expect(outbox.nextDueMs()).toBeUndefined();
  outbox.offer(report('b', true), 3);
  outbox.offer(report('b', false), 4);
  expect(send(4)).toEqual(['!b']);
});

test('news during a call is sent after it; the same again is not', () => {
  outbox.offer(report('a', true), 0);
  const first = outbox.take(100, 0);
  expect(outbox.offer(report('a', true), 1)).toBe(false);
  expect(outbox.offer(report('a', false), 1)).toBe(true);
  outbox.delivered(first, nobody, 2);
  expect(send(2)).toEqual(['!a']);
});

test('a failed call leaves everything to be sent, also what was back to the old state', () => {
  outbox.offer(report('a', true), 0);
  send(0);
  outbox.offer(report('a', false), 1);
  const lost = outbox.take(100, 1);
  outbox.offer(report('a', true), 2);
  outbox.failed(lost, 3);
  expect(send(3)).toEqual(['a']);
});

test('an unknown id waits longer each time, unless there is news of it', () => {
  const unknown = new Set(['a']);
  outbox.offer(report('a', true), 0);
  const pauses: number[] = [];
  for (let count = 0, nowMs = 0; count < 12; count++) {
    send(nowMs, unknown);
    const dueMs = outbox.nextDueMs() ?? Number.NaN;
    pauses.push(dueMs - nowMs);
    outbox.offer(report('a', true), nowMs + 1);
    expect(outbox.nextDueMs()).toBe(dueMs);
    nowMs = dueMs;
  }
  for (const [count, pause] of pauses.entries()) {
    const whole = Math.min(300_000, 1000 * 2 ** count);
    expect(pause).toBeGreaterThanOrEqual(whole / 2);
    expect(pause).toBeLessThanOrEqual(whole);
  }
  outbox.offer(report('a', false), 5_000_000);
  expect(outbox.nextDueMs()).toBe(5_000_000);
  expect(send(5_000_000)).toEqual(['!a']);
});

test('a reset sends everything once more, also what is on its way', () => {
  for (const id of ['a', 'b', 'c']) outbox.offer(report(id, true), 0);
  const batch = outbox.take(2, 0);
  outbox.reset(1);
  outbox.delivered(batch, nobody, 2);
  expect(send(2).toSorted()).toEqual(['a', 'b', 'c']);
  expect(send(3)).toEqual([]);
});

test('what is gone is not sent, not even after a call that knew it', () => {
  outbox.offer(report('a', true), 0);
  const batch = outbox.take(100, 0);
  outbox.forget('a');
  outbox.failed(batch, 1);
  expect(send(1)).toEqual([]);
});
