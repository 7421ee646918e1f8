import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { firsts, Heap } from './order.ts';

const values = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 });

test('the first of an order are those of a sort', () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 50 }), (values, limit) => {
      const compare = (a: number, b: number): number => (values[a] ?? 0) - (values[b] ?? 0) || a - b;
      const even = (position: number): boolean => position % 2 === 0;
      const expected = [...values.keys()].filter(even).sort(compare).slice(0, limit);
      expect(firsts(values.length, limit, (a, b) => compare(a, b) < 0, even)).toEqual(expected);
    }),
    { seed: 20_264, numRuns: 500 },
  );
});

test('a heap settles a top that grew', () => {
  const weights = [1, 2, 3, 4];
  const heap = new Heap((a, b) => (weights[a] ?? 0) < (weights[b] ?? 0));
  for (const item of [3, 1, 0, 2]) heap.push(item);
  weights[0] = 3.5;
  heap.settleTop();
  expect(heap.drain()).toEqual([1, 2, 0, 3]);
});
