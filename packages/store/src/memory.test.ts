import { expect, it } from 'vitest';

import { storeConformance } from './conformance.suite.ts';
import { openMemoryStore } from './embedded.ts';

storeConformance('memory store', { open: () => openMemoryStore(), leaseMs: 1000 });

it('takes a transaction at whatever moment it comes, also when the one before has just been written', async () => {
  const store = await openMemoryStore();
  for (let later = 0; later < 40; later++) {
    const first = store.txn({ then: [{ op: 'put', key: 'a', value: new Uint8Array() }] });
    // Turns of the microtask queue: no timer is as fine.
    for (let turn = 0; turn < later; turn++) await Promise.resolve();
    const second = store.txn({ then: [{ op: 'put', key: 'b', value: new Uint8Array() }] });
    const [one, two] = await Promise.all([first, second]);
    expect(two.revision).toBeGreaterThan(one.revision);
  }
  await store.close();
});
