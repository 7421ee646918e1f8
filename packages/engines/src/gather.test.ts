import { EruError } from '@eru/kit';
import { expect, test } from 'vitest';

import { gather } from './gather.ts';

async function* numbers(count: number, error?: Error): AsyncGenerator<number> {
  for (let number = 1; number <= count; number++) yield number;
  if (error !== undefined) throw error;
}

test('what comes at once goes together, in order, and not much more than allowed', async () => {
  const groups: number[][] = [];
  for await (const group of gather(numbers(100), 30, () => 1)) groups.push(group);
  expect(groups.flat()).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  expect(groups.length).toBeLessThan(10);
  expect(Math.max(...groups.map(({ length }) => length))).toBeLessThanOrEqual(30);
});

test('an error comes after everything that came before it', async () => {
  const got: number[] = [];
  const reading = (async () => {
    for await (const group of gather(numbers(5, new EruError('failed', 'broken')), 2, () => 1)) got.push(...group);
  })();
  await expect(reading).rejects.toThrow('broken');
  expect(got).toEqual([1, 2, 3, 4, 5]);
});

test('a source is held back by one who does not take, and left when he leaves', async () => {
  let given = 0;
  let closed = false;
  const source = (async function* () {
    try {
      for (;;) yield (given += 1);
    } finally {
      closed = true;
    }
  })();
  for await (const group of gather(source, 10, () => 1)) {
    expect(group).toHaveLength(10);
    await new Promise((resolve) => setImmediate(resolve));
    expect(given).toBeLessThanOrEqual(20);
    break;
  }
  await expect.poll(() => closed).toBe(true);
});
