import { EruError, seededRandom, silentLogger, VirtualClock } from '@eru/kit';
import { openMemoryStore, type Store } from '@eru/store';
import { beforeEach, describe, expect, it } from 'vitest';

import { Membership, type Tenure } from './membership.ts';
import { StoreContact } from './store-contact.ts';

describe('Membership', () => {
  let clock: VirtualClock;
  let store: Store;

  beforeEach(async () => {
    clock = new VirtualClock();
    store = await openMemoryStore({ clock, random: seededRandom(1) });
  });

  const member = (): Membership => {
    const contact = new StoreContact({ store, clock, silentAfterMs: 4500, onCall: () => {} });
    return new Membership({
      store: contact.store,
      contact,
      onWrite: () => {},
      clock,
      random: seededRandom(2),
      logger: silentLogger,
      address: '127.0.0.1:0',
      version: '1',
      ttlMs: 9000,
    });
  };
  const never = new AbortController().signal;
  const cores = async (): Promise<{ address: string; epoch: number; lease: string | undefined }[]> =>
    (await store.range({ prefix: 'cores/' })).kvs.map(({ value, createRevision, lease }) => ({
      address: (JSON.parse(new TextDecoder().decode(value)) as { address: string }).address,
      epoch: createRevision,
      lease,
    }));

  it('registers under a lease that it keeps, and leaves at once', async () => {
    const one = member();
    const { owner } = await clock.run(one.join(never));
    await clock.advance(60_000);
    expect(await cores()).toEqual([{ address: '127.0.0.1:0', epoch: owner.epoch, lease: expect.any(String) }]);
    expect(one.unfit()).toBeUndefined();
    await one.close();
    expect(await cores()).toEqual([]);
  });

  it('leaves a store that is away without a failure: the lease runs out by itself', async () => {
    const one = member();
    await clock.run(one.join(never));
    store.revokeLease = () => Promise.reject(new EruError('unavailable', 'connection refused'));
    await one.close();
    expect(await cores()).toHaveLength(1);
    await clock.advance(10_000);
    expect(await cores()).toEqual([]);
  });

  it('announces its real address in the same epoch and under the same lease', async () => {
    const one = member();
    const { owner } = await clock.run(one.join(never));
    const [{ lease } = { lease: '' }] = await cores();
    await one.announce('127.0.0.1:4711');
    expect(await cores()).toEqual([{ address: '127.0.0.1:4711', epoch: owner.epoch, lease }]);
    await clock.advance(60_000);
    expect(await cores()).toHaveLength(1);
  });

  it('keeps nothing of a stay whose beginning was not answered', async () => {
    const txn = store.txn.bind(store);
    let lost = 0;
    store.txn = async (...args) => {
      const result = await txn(...args);
      if (lost++ === 0) throw new EruError('unavailable', 'the answer is lost');
      return result;
    };
    const one = member();
    await expect(clock.run(one.join(never))).rejects.toMatchObject({ code: 'unavailable' });
    expect(await cores()).toEqual([]);
    await clock.run(one.join(never));
    await clock.advance(60_000);
    expect(await cores()).toHaveLength(1);
  });

  it('ends the tenure when the lease is lost, and begins another with the address that was announced', async () => {
    const one = member();
    const tenures: Tenure[] = [];
    one.onTenure((tenure) => tenures.push(tenure));
    await clock.run(one.join(never));
    await one.announce('127.0.0.1:4711');
    const [{ lease } = { lease: '' }] = await cores();
    await store.revokeLease(lease ?? '');
    await clock.advance(10_000);
    expect(tenures.map(({ signal }) => signal.aborted)).toEqual([true, false]);
    expect(tenures[0]?.held()).toBe(false);
    expect(one.current()).toBe(tenures[1]);
    expect(await cores()).toMatchObject([{ address: '127.0.0.1:4711', epoch: tenures[1]?.owner.epoch }]);
  });
});
