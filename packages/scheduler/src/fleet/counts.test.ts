import { expect, test } from 'vitest';
import { Counts } from './counts.ts';

test('counts know what changed, as far back as they remember', () => {
  const counts = new Counts([['a', 1]]);
  counts.set('b', 2);
  const { version } = counts;
  counts.delete('a');
  counts.set('c', 3);
  expect(counts.since(version)).toEqual(['a', 'c']);
  expect([...counts]).toEqual([
    ['b', 2],
    ['c', 3],
  ]);
  for (let change = 0; change < 4095; change += 1) counts.set('b', change);
  expect(counts.since(version)).toBeUndefined();
  expect(counts.since(counts.version - 4096)).toHaveLength(4096);
  const full = counts.version;
  counts.clear();
  expect(counts.since(full)).toBeUndefined();
  expect(counts.since(counts.version)).toEqual([]);
});
