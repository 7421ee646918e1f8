import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openEmbeddedStore, openEtcdStore } from '@eru/store';
import { expect, it } from 'vitest';

import { describeWith } from '../../../../tests/parts.ts';
import { EtcdProcess } from '../../../store/src/etcd-process.ts';
import { live, steppedClock } from './allocator.suite.ts';

it('one address, one owner at every revision on the embedded store, opened anew', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-ipam-'));
  const store = await openEmbeddedStore({ folder });
  expect((await live({ store, seed: 11, steps: 120, clock: steppedClock() })).revisions).toBeGreaterThan(40);
  const { kvs } = await store.range({ prefix: 'network/' });
  await store.close();
  const again = await openEmbeddedStore({ folder });
  expect((await again.range({ prefix: 'network/' })).kvs).toEqual(kvs);
  await again.close();
  await rm(folder, { recursive: true, force: true });
});

describeWith(['etcd'], 'on a real etcd', () => {
  it('one address, one owner at every revision', async () => {
    const etcd = await EtcdProcess.start();
    try {
      const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
      expect((await live({ store, seed: 21, steps: 100, clock: steppedClock() })).revisions).toBeGreaterThan(50);
      await store.close();
    } finally {
      await etcd.remove();
    }
  });
});
