import { isEruError, retry, systemClock } from '@eru/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeWith } from '../../../tests/parts.ts';
import { standStill } from '../../../tests/stand-still.ts';
import { follow, storeConformance } from './conformance.suite.ts';
import { EtcdProcess } from './etcd-process.ts';
import { openEtcdStore } from './etcd.ts';
import { keepLease } from './lease-keeper.ts';
import type { Store } from './store.ts';

describeWith(['etcd'], 'etcd', () => {
  let etcd: EtcdProcess;
  let prefixes = 0;
  const open = (): Promise<Store> => openEtcdStore({ endpoints: [etcd.endpoint], prefix: `/test${prefixes++}/` });
  beforeAll(async () => {
    etcd = await EtcdProcess.start();
  });
  afterAll(() => etcd.remove());

  storeConformance('etcd store', { open, leaseMs: 2000 });

  describe('faults', () => {
    it('keeps clusters apart by prefix', async () => {
      const [one, other] = [await open(), await open()];
      await one.txn({ then: [{ op: 'put', key: 'x', value: Buffer.from('1') }] });
      await other.txn({ then: [{ op: 'delete', range: { prefix: '' } }] });
      expect((await other.range({ prefix: '' })).kvs).toEqual([]);
      expect((await one.range({ prefix: '' })).kvs).toMatchObject([{ key: 'x' }]);
      await Promise.all([one.close(), other.close()]);
    });

    it('loses no event and no acknowledged write over SIGKILL and restart, in the middle of writes', async () => {
      const store = await open();
      const watch = follow(store, { prefix: 'w/' });
      await watch.next();
      const stop = new AbortController();
      let unknown = 0;
      const acknowledged = new Map<string, number>();
      const writer = async (name: string): Promise<void> => {
        for (let index = 0; !stop.signal.aborted; index++) {
          const key = `w/${name}-${index}`;
          try {
            const { revision } = await store.txn({ then: [{ op: 'put', key, value: Buffer.from('') }] });
            acknowledged.set(key, revision);
          } catch (error) {
            expect(isEruError(error) ? error.code : error).toMatch(/^(unavailable|timeout)$/);
            unknown += 1;
            await systemClock.sleep(20);
          }
        }
      };
      const writing = Promise.all(['a', 'b', 'c', 'd'].map(writer));
      for (let round = 1; round <= 3; round++) {
        const enough = acknowledged.size + 200;
        await until(() => acknowledged.size >= enough);
        await etcd.kill();
        await etcd.start();
      }
      const enough = acknowledged.size + 50;
      await until(() => acknowledged.size >= enough);
      stop.abort();
      await writing;
      const { kvs } = await store.range({ prefix: 'w/' });
      const seen = (await watch.changes(kvs.length)).flatMap(({ events }) => events);
      expect(seen.map((event) => event.type === 'put' && event.kv.key)).toEqual(
        kvs.toSorted((a, b) => a.modRevision - b.modRevision).map(({ key }) => key),
      );
      const present = new Map(kvs.map((kv) => [kv.key, kv.modRevision]));
      for (const [key, revision] of acknowledged) expect(present.get(key)).toBe(revision);
      expect(unknown).toBeGreaterThan(0);
      expect(await watch.stop()).toEqual([]);
      await store.close();
    });

    it('says so in time when the server is frozen: calls end, the lease is not held any more; then all goes on', async () => {
      const store = await open();
      const lease = await keepLease(store, {
        ttlMs: 3000,
        marginMs: 1000,
        clock: systemClock,
        onLost: () => {
          lost = true;
        },
      });
      let lost = false;
      const watch = follow(store, { prefix: 'f/' });
      await watch.next();
      expect(lease.held()).toBe(true);
      const frozenAt = performance.now();
      try {
        await standStill(etcd.pid);
        const reading = expect(store.get('f/x')).rejects.toMatchObject({ code: 'timeout' });
        // It is over before the server may give it to another, however late we look.
        await until(() => {
          const asked = performance.now() - frozenAt;
          const held = lease.held();
          expect(held && asked >= 3000).toBe(false);
          return !held;
        });
        await reading;
      } finally {
        process.kill(etcd.pid, 'SIGCONT');
      }
      const { revision } = await retry(
        () => store.txn({ then: [{ op: 'put', key: 'f/after', value: Buffer.from('') }] }),
        { attempts: 20 },
      );
      expect(await watch.changes(1)).toMatchObject([{ revision }]);
      // Whether the lease outlived the silence is the server's word.
      await until(() => lease.held() || lost);
      await lease.release();
      await watch.stop();
      await store.close();
    });

    it('turns to a member that answers', async () => {
      const dead = '127.0.0.1:1';
      const store = await openEtcdStore({ endpoints: [dead, etcd.endpoint], prefix: '/over/' });
      const watch = follow(store, { prefix: '' });
      await watch.next();
      const lease = await store.grantLease(5000);
      await store.renewLease(lease.id);
      await store.txn({ then: [{ op: 'put', key: 'x', value: Buffer.from('') }] });
      expect(await watch.changes(1)).toHaveLength(1);
      await store.close();
      await expect(openEtcdStore({ endpoints: [dead] })).rejects.toMatchObject({ code: 'unavailable' });
    });
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await systemClock.sleep(10);
}
