import { EruError, seededRandom, silentLogger, VirtualClock } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openMemoryStore, type KeyValue, type Store } from '@eru/store';
import { beforeEach, expect, test } from 'vitest';

import { encode } from './records.ts';
import { ClusterView } from './view.ts';

const key = 'claims/w';
let store: Store;
let view: ClusterView;

beforeEach(async () => {
  const clock = new VirtualClock();
  store = await openMemoryStore({ clock, random: seededRandom(1) });
  view = viewOf(store, clock);
  await view.start(new AbortController().signal);
});

function viewOf(store: Store, clock = new VirtualClock()): ClusterView {
  return new ClusterView({
    store,
    scheduler: createScheduler({ kinds: builtinKinds() }),
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    silentAfterMs: 5000,
    onLag: () => {},
  });
}

/** The store, read in this way. */
function reading(range: Store['range']): Store {
  return { ...store, range, watch: (options) => store.watch(options) };
}

test('a store that goes away while everything is read is waited for', async () => {
  await put();
  const clock = new VirtualClock();
  let failures = 3;
  const away: Store['range'] = (options) => {
    if (failures-- > 0) return Promise.reject(new EruError('unavailable', 'Connection dropped'));
    return store.range(options);
  };
  const started = viewOf(reading(away), clock);
  await clock.run(started.start(new AbortController().signal));
  expect(started.claims.get('w')?.value).toMatchObject({ operation: 'o' });
  expect(failures).toBeLessThan(0);
});

test('what is written while everything is read, page by page, is told by the watch', async () => {
  const names = Array.from({ length: 2500 }, (_, index) => `w${String(index).padStart(4, '0')}`);
  const value = encode({ v: 1, operation: 'before' });
  for (let at = 0; at < names.length; at += 100)
    await store.txn({
      then: names.slice(at, at + 100).map((name) => ({ op: 'put', key: `claims/${name}`, value })),
    });
  const abort = new AbortController();
  let pages = 0;
  const changing: Store['range'] = async (options) => {
    const page = await store.range(options);
    pages += 1;
    // One that is read already, one that will be.
    for (const name of ['w0000', 'w2499', `new${pages}`])
      await store.txn({
        then: [{ op: 'put', key: `claims/${name}`, value: encode({ v: 1, operation: `page ${pages}` }) }],
      });
    return page;
  };
  const started = viewOf(reading(changing));
  await started.start(abort.signal);
  await store.txn({ then: [{ op: 'put', key: 'claims/last', value }] });
  await started.until(() => started.claims.get('last'), abort.signal);
  abort.abort();
  expect(pages).toBe(3);
  expect(started.claims.size).toBe(names.length + pages + 1);
  for (const name of ['w0000', 'w2499', 'new3'])
    expect(started.claims.get(name)?.value).toMatchObject({ operation: 'page 3' });
});

async function put(): Promise<KeyValue> {
  await store.txn({ then: [{ op: 'put', key, value: encode({ v: 1, operation: 'o' }) }] });
  return (await store.get(key)) as KeyValue;
}

const passed = (revision: number): Promise<true> =>
  view.until(() => (view.revision >= revision ? true : undefined), new AbortController().signal);

test('what a transaction has read, and the watch has passed meanwhile, does not come back from the dead', async () => {
  const claim = await put();
  await store.txn({ then: [{ op: 'delete', range: { key } }] });
  await passed((await store.range({ prefix: 'claims/' })).revision);
  await put().then(() => store.txn({ then: [{ op: 'delete', range: { key } }] }));
  const { revision } = await store.range({ prefix: 'claims/' });
  await passed(revision);
  view.applyWrites([claim], [], 0);
  expect(view.claims.get('w')).toBeUndefined();
});

test('nor does it go because an older transaction has not found it', async () => {
  const { revision } = await store.range({ prefix: 'claims/' });
  const claim = await put();
  await passed(claim.modRevision);
  view.applyWrites([], [key], revision);
  expect(view.claims.get('w')?.modRevision).toBe(claim.modRevision);
});

test('what the watch has not told yet is taken', async () => {
  const claim = await put();
  view.applyWrites([{ ...claim, modRevision: claim.modRevision + 1 }], [], 0);
  expect(view.claims.get('w')).toBeDefined();
  view.applyWrites([], [key], claim.modRevision + 2);
  expect(view.claims.get('w')).toBeUndefined();
});
