import { expect, test } from 'vitest';
import { explain } from './explain.ts';
import type { Refusal } from './model.ts';

const memory = (node: string, free: number): Refusal => ({
  node,
  kind: 'cpumem',
  reason: 'free memory',
  needed: 512 * 1024 ** 2,
  free,
  unit: 'bytes',
});
const cores: Refusal = { node: 'c', kind: 'cpumem', reason: 'cores', needed: 9, free: 8, unit: 'number' };

test('groups nodes by what they lack, the commonest first', () => {
  const many = Array.from({ length: 4812 }, (_, index) => memory(`n${index}`, 64 * 1024 ** 2));
  expect(explain([cores, ...many])).toEqual(['4,812 nodes: free memory 64M < 512M', 'c: cores 8 < 9']);
});

test('says how near the best node was, also below nothing', () => {
  expect(explain([memory('a', 1024), memory('b', 2048)])).toEqual(['2 nodes: free memory at most 2K < 512M']);
  expect(explain([memory('a', -1024)])).toEqual(['a: free memory -1K < 512M']);
  expect(explain([])).toEqual([]);
});
