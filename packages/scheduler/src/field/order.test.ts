import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from './order.ts';
import { Ranking } from './ranking.ts';

test('a heap gives the first of all, also after its top has moved back', () => {
  const weights = [1, 2, 3, 4];
  const heap = new Heap((a, b) => (weights[a] ?? 0) < (weights[b] ?? 0));
  for (const item of [3, 1, 0, 2]) heap.push(item);
  weights[0] = 3.5;
  heap.settleTop();
  expect([1, 2, 3, 4].map(() => heap.pop())).toEqual([1, 2, 0, 3]);
  expect(heap.size).toBe(0);
});

const size = 24;
const weight = fc.integer({ min: 0, max: 6 });
const step = fc.oneof(fc.record({ put: fc.nat(size - 1), weight }), fc.record({ remove: fc.nat(size - 1) }));

test('a ranking is a sorted list, whatever comes, goes or moves', () => {
  fc.assert(
    fc.property(
      fc.array(weight, { minLength: size, maxLength: size }),
      fc.uniqueArray(fc.nat(size - 1)),
      fc.array(step, { maxLength: 60 }),
      (weights, filled, steps) => {
        const compare = (a: number, b: number): number => (weights[a] ?? 0) - (weights[b] ?? 0) || a - b;
        // Shorter than what comes in: it grows.
        const ranking = new Ranking((a, b) => compare(a, b) < 0, new Int32Array(size).fill(-1));
        const members = new Set(filled);
        for (const position of filled) ranking.put(position);
        for (const each of steps) {
          if ('put' in each) {
            weights[each.put] = each.weight;
            ranking.put(each.put);
            members.add(each.put);
          } else {
            ranking.remove(each.remove);
            members.delete(each.remove);
          }
          const sorted = [...members].sort(compare);
          expect(ranking.first).toBe(sorted[0] ?? -1);
          expect([...ranking.inOrder()]).toEqual(sorted);
          expect([...ranking.inOrder(3)]).toEqual(sorted.slice(0, 3));
        }
      },
    ),
    { seed: 20_264, numRuns: 300 },
  );
});

test('a ranking takes in positions beyond what it was made for', () => {
  const ranking = new Ranking((a, b) => a < b, new Int32Array(2).fill(-1));
  for (const position of [9, 1, 40]) ranking.put(position);
  ranking.remove(99);
  expect([...ranking.inOrder()]).toEqual([1, 9, 40]);
});
