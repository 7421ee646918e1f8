import { setImmediate as nextTurn } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { Breath } from './breath.ts';

test('of many at once some go on in each turn, in order; few are not held up', async () => {
  const breath = new Breath();
  const done: number[] = [];
  const turns: number[] = [];
  for (let index = 0; index < 10; index++) void breath.taken().then(() => done.push(index));
  for (let turn = 0; turn < 4; turn++) {
    await new Promise((resolve) => process.nextTick(resolve));
    turns.push(done.length);
    await nextTurn();
  }
  expect(turns).toEqual([4, 8, 10, 10]);
  expect(done).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  let passed = false;
  void breath.taken().then(() => {
    passed = true;
  });
  await Promise.resolve();
  await Promise.resolve();
  expect(passed).toBe(true);
});
