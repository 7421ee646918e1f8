import { EruError, VirtualClock } from '@eru/kit';
import { describe, expect, it } from 'vitest';

import { openMemoryStore } from './embedded.ts';
import { keepLease } from './lease-keeper.ts';
import type { Store } from './store.ts';

async function setUp(marginMs = 2000) {
  const clock = new VirtualClock();
  const store = await openMemoryStore({ clock });
  const faults = { silent: false, lost: 0, renewals: 0 };
  const faulty: Store = Object.assign(Object.create(store) as Store, {
    grantLease: (ttlMs: number) => store.grantLease(ttlMs),
    revokeLease: (id: string) => store.revokeLease(id),
    renewLease: async (id: string) => {
      if (faults.silent) throw new EruError('unavailable', 'silence');
      faults.renewals += 1;
      return store.renewLease(id);
    },
  });
  const abort = new AbortController();
  const onLost = (): void => {
    faults.lost += 1;
  };
  const lease = await keepLease(faulty, { ttlMs: 9000, marginMs, clock, onLost, signal: abort.signal });
  await store.txn({ then: [{ op: 'put', key: 'mine', value: new Uint8Array(), lease: lease.id }] });
  return { clock, store, faults, abort, lease };
}

describe('keepLease', () => {
  it('renews every third of the time to live and holds as long as it is answered', async () => {
    const { clock, store, faults, lease } = await setUp();
    await clock.advance(60_000);
    expect(faults.renewals).toBe(20);
    expect([lease.held(), faults.lost]).toEqual([true, 0]);
    expect(await store.get('mine')).toBeDefined();
    await lease.release();
    expect(lease.held()).toBe(false);
    expect(await store.get('mine')).toBeUndefined();
    await clock.advance(60_000);
    expect([faults.renewals, faults.lost]).toEqual([20, 0]);
  });

  it('stops holding a margin before the store could end it, and is lost when the store says so', async () => {
    const { clock, store, faults, lease } = await setUp();
    await clock.advance(3000);
    faults.silent = true;
    await clock.advance(7000);
    expect(lease.held()).toBe(true);
    await clock.advance(1);
    expect(lease.held()).toBe(false);
    expect(await store.get('mine')).toBeDefined();
    expect(faults.lost).toBe(0);
    await clock.advance(2000);
    expect(await store.get('mine')).toBeUndefined();
    faults.silent = false;
    await clock.advance(1000);
    expect([lease.held(), faults.lost]).toEqual([false, 1]);
    await lease.release();
    expect(faults.lost).toBe(1);
  });

  it('goes on when the lease outlived the silence', async () => {
    const { clock, faults, lease } = await setUp(6000);
    faults.silent = true;
    await clock.advance(3001);
    expect(lease.held()).toBe(false);
    faults.silent = false;
    await clock.advance(1000);
    expect([lease.held(), faults.lost]).toEqual([true, 0]);
    await lease.release();
  });

  it('lets the lease run out when aborted', async () => {
    const { clock, store, faults, abort, lease } = await setUp();
    abort.abort();
    expect(lease.held()).toBe(false);
    await clock.advance(8999);
    expect(await store.get('mine')).toBeDefined();
    await clock.advance(1);
    expect(await store.get('mine')).toBeUndefined();
    expect(faults.lost).toBe(0);
  });
});
