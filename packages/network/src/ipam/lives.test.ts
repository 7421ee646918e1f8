import { openMemoryStore } from '@eru/store';
import { expect, it } from 'vitest';

import { live, steppedClock } from './allocator.suite.ts';

it.each([1, 2, 3, 4, 5, 6])(
  'life %d: one address, one owner at every revision; a restart gives the same state',
  async (seed) => {
    const store = await openMemoryStore();
    const { revisions, refused } = await live({ store, seed, steps: 240, clock: steppedClock() });
    expect(revisions).toBeGreaterThan(80);
    // The life has met what it was to meet.
    expect(Object.keys(refused)).toEqual(expect.arrayContaining(['exists', 'not_found', 'precondition']));
    await store.close();
  },
);
