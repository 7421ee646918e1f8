import { isEruError } from '@eru/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { Compare, KeyRange, Store, StoreEvent, TxnOp, WatchBatch } from './store.ts';
import { after } from './store.ts';

export interface Conformance {
  /** An empty store (on etcd: an empty prefix); closed by the suite. */
  open: () => Promise<Store>;
  /** The shortest lease that this backend keeps exactly. */
  leaseMs: number;
}

/** What every backend must do, with the meaning of etcd v3. */
export function storeConformance(name: string, { open, leaseMs }: Conformance): void {
  describe(name, () => {
    describe('transactions', () => transactions(open));
    describe('ranges', () => ranges(open));
    describe('watches', () => watches(open));
    describe('leases', () => leases(open, leaseMs));
  });
}

function transactions(open: () => Promise<Store>): void {
  const { put, get, store } = handle(open);

  it('raises one revision for all writes, counts versions, and makes an identical put a revision', async () => {
    const first = await store().txn({ then: [putOp('r/a', '1'), putOp('r/b', '1')] });
    expect(first).toMatchObject({ succeeded: true, results: [{ op: 'put' }, { op: 'put' }] });
    expect(await get('r/a')).toMatchObject({ createRevision: first.revision, modRevision: first.revision, version: 1 });
    expect((await get('r/b'))?.modRevision).toBe(first.revision);
    const second = await put('r/a', '1');
    expect(second).toBe(first.revision + 1);
    expect(await get('r/a')).toMatchObject({ createRevision: first.revision, modRevision: second, version: 2 });
    const none = await store().txn({ then: [{ op: 'get', range: { key: 'r/a' } }, deleteOp({ key: 'r/none' })] });
    expect(none.revision).toBe(second);
    expect(none.results[1]).toEqual({ op: 'delete', deleted: 0 });
  });

  it('begins a deleted key anew', async () => {
    const old = await put('again', '1');
    await put('again', '2');
    const { results } = await store().txn({ then: [deleteOp({ key: 'again' })] });
    expect(results).toEqual([{ op: 'delete', deleted: 1 }]);
    expect(await get('again')).toBeUndefined();
    const anew = await put('again', '3');
    expect(anew).toBe(old + 3);
    expect(await get('again')).toMatchObject({ createRevision: anew, version: 1 });
  });

  it('compares create, mod, version and value of present and absent keys', async () => {
    const created = await put('c/there', 'x');
    const changed = await put('c/there', 'y');
    const there = { create: created, mod: changed, version: 2 };
    for (const target of ['create', 'mod', 'version'] as const) {
      for (const [key, actual] of [
        ['c/there', there[target]],
        ['c/absent', 0],
      ] as const) {
        for (const value of [actual - 1, actual, actual + 1]) {
          const expected = { '=': actual === value, '!=': actual !== value, '<': actual < value, '>': actual > value };
          for (const op of ['=', '!=', '<', '>'] as const)
            expect([key, target, op, value, await holds({ key, target, op, value })]).toEqual([
              key,
              target,
              op,
              value,
              expected[op],
            ]);
        }
      }
    }
    const value = (key: string, op: '=' | '!=', text: string): Promise<boolean> =>
      holds({ key, target: 'value', op, value: bytes(text) });
    expect(await value('c/there', '=', 'y')).toBe(true);
    expect(await value('c/there', '!=', 'y')).toBe(false);
    expect(await value('c/there', '=', 'x')).toBe(false);
    expect(await value('c/there', '!=', 'x')).toBe(true);
    expect(await value('c/absent', '=', '')).toBe(false);
    expect(await value('c/absent', '!=', '')).toBe(false);
  });

  it('runs the other branch when one compare fails, and reads what the branch wrote before', async () => {
    await put('b/1', 'one');
    const lost = await store().txn({
      compare: [
        { key: 'b/1', target: 'version', op: '=', value: 1 },
        { key: 'b/1', target: 'create', op: '=', value: 0 },
      ],
      then: [putOp('b/1', 'no')],
      otherwise: [
        putOp('b/2', 'two'),
        { op: 'get', range: { prefix: 'b/' } },
        deleteOp({ key: 'b/1' }),
        { op: 'get', range: { prefix: 'b/' }, keysOnly: true },
      ],
    });
    expect(lost.succeeded).toBe(false);
    expect(lost.results.map(summary)).toEqual(['put', 'b/1=one b/2=two', 'deleted 1', 'b/2=']);
  });

  it('fences by create revision: who holds an older one writes nothing', async () => {
    const fence = (value: number): Compare => ({ key: 'f/owner', target: 'create', op: '=', value });
    const epoch = await put('f/owner', 'me');
    expect((await store().txn({ compare: [fence(epoch)], then: [putOp('f/x', '1')] })).succeeded).toBe(true);
    await store().txn({ then: [deleteOp({ key: 'f/owner' })] });
    await put('f/owner', 'me');
    expect((await store().txn({ compare: [fence(epoch)], then: [putOp('f/x', '2')] })).succeeded).toBe(false);
    expect(text((await get('f/x'))?.value)).toBe('1');
  });

  it('lets exactly one of many claim a key', async () => {
    const claims = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        store().txn({
          compare: [{ key: 'claim', target: 'create', op: '=', value: 0 }],
          then: [putOp('claim', String(index))],
        }),
      ),
    );
    expect(claims.filter(({ succeeded }) => succeeded)).toHaveLength(1);
  });

  it('takes a transaction at the limit of operations and refuses one over it', async () => {
    const { txnOperations } = store().limits;
    const puts = Array.from({ length: txnOperations }, (_, index) => putOp(`l/${index}`, ''));
    await store().txn({ then: puts });
    expect((await store().range({ prefix: 'l/' })).kvs).toHaveLength(txnOperations);
    await expectError(store().txn({ then: [...puts, putOp('l/more', '')] }), 'too_large');
    const compare = Array.from({ length: txnOperations + 1 }, (): Compare => ({
      key: 'l/0',
      target: 'mod',
      op: '>',
      value: 0,
    }));
    await expectError(store().txn({ compare, then: [] }), 'too_large');
    await store().txn({ compare: compare.slice(1), then: [deleteOp({ prefix: 'l/' })] });
  });

  it('takes a transaction at the limit of bytes and refuses one over it', async () => {
    const { txnBytes } = store().limits;
    const half = Buffer.alloc(txnBytes / 2 - 128, 7);
    const then: TxnOp[] = [
      { op: 'put', key: 'big/1', value: half },
      { op: 'put', key: 'big/2', value: half },
    ];
    await store().txn({ then });
    expect((await get('big/2'))?.value).toEqual(new Uint8Array(half));
    await expectError(
      store().txn({ then: [...then, { op: 'put', key: 'big/3', value: Buffer.alloc(256) }] }),
      'too_large',
    );
    expect(await get('big/3')).toBeUndefined();
  });

  it('refuses a key changed twice, a key that is none, and leaves no trace', async () => {
    const revision = await put('inv/1', '');
    await expectError(store().txn({ then: [putOp('inv/2', ''), putOp('inv/2', '')] }), 'invalid');
    await expectError(store().txn({ then: [deleteOp({ prefix: 'inv/' }), putOp('inv/2', '')] }), 'invalid');
    await expectError(store().txn({ then: [], otherwise: [putOp('', '')] }), 'invalid');
    await expectError(store().txn({ then: [putOp('\uD800', '')] }), 'invalid');
    await expectError(store().txn({ then: [putOp('k'.repeat(1025), '')] }), 'invalid');
    await expectError(store().range({ prefix: 'inv/', limit: 0 }), 'invalid');
    expect((await store().range({ prefix: 'inv/' })).revision).toBe(revision);
  });

  it('keeps any bytes in values and orders keys by their bytes', async () => {
    const value = Uint8Array.from({ length: 256 }, (_, index) => index);
    // U+FFFD sorts after U+10000 in UTF-16 units, before it in bytes.
    const keys = ['o/', 'o/\0', 'o/a', 'o/a\0', 'o/a/', 'o/ä', 'o/\uFFFD', 'o/\u{10000}'];
    await store().txn({ then: keys.toReversed().map((key) => ({ op: 'put', key, value })) });
    const { kvs } = await store().range({ prefix: 'o/' });
    expect(kvs.map(({ key }) => key)).toEqual(keys);
    for (const kv of kvs) expect(kv.value).toEqual(value);
  });

  it('does nothing when aborted before', async () => {
    await expectError(store().txn({ then: [putOp('aborted', '')], signal: AbortSignal.abort() }), 'canceled');
    await expectError(store().get('aborted', { signal: AbortSignal.abort() }), 'canceled');
    expect(await get('aborted')).toBeUndefined();
  });

  async function holds(compare: Compare): Promise<boolean> {
    return (await store().txn({ compare: [compare], then: [] })).succeeded;
  }
}

function ranges(open: () => Promise<Store>): void {
  const { put, store } = handle(open);

  it('reads everything, a prefix, an interval, one key', async () => {
    await store().txn({ then: ['a', 'p', 'p/1', 'p/2', 'p0', 'z'].map((key) => putOp(key, key)) });
    const keys = async (range: KeyRange): Promise<string[]> => (await store().range(range)).kvs.map(({ key }) => key);
    expect(await keys({ prefix: '' })).toEqual(['a', 'p', 'p/1', 'p/2', 'p0', 'z']);
    expect(await keys({ prefix: 'p/' })).toEqual(['p/1', 'p/2']);
    expect(await keys({ start: 'p', end: 'p/2' })).toEqual(['p', 'p/1']);
    expect(await keys({ start: 'p/2', end: 'p/2' })).toEqual([]);
    expect(await keys({ start: 'z', end: 'a' })).toEqual([]);
    expect(await keys({ key: 'p' })).toEqual(['p']);
    const { kvs } = await store().range({ key: 'p', keysOnly: true });
    expect(kvs[0]).toMatchObject({ value: new Uint8Array(), version: 1 });
  });

  it('pages through one revision while the store changes', async () => {
    await store().txn({
      then: Array.from({ length: 25 }, (_, index) => putOp(`page/${String(index).padStart(2, '0')}`, 'old')),
    });
    const seen: string[] = [];
    let page = await store().range({ prefix: 'page/', limit: 10 });
    const { revision } = page;
    for (;;) {
      seen.push(...page.kvs.map((kv) => `${kv.key}=${text(kv.value)}`));
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      await store().txn({ then: [deleteOp({ key: 'page/13' }), putOp('page/23', 'new'), putOp('page/150', 'new')] });
      page = await store().range({ start: after(last.key), end: 'page0', limit: 10, revision });
      expect(page.revision).toBe(revision);
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, index) => `page/${String(index).padStart(2, '0')}=old`));
    const exact = await store().range({ prefix: 'page/', limit: 25 });
    expect([exact.kvs.length, exact.more]).toEqual([25, false]);
  });

  it('reads the past with what has been deleted since, not the future, not what is forgotten', async () => {
    const first = await put('past/a', '1');
    await put('past/b', '1');
    const second = await put('past/a', '2');
    const gone = (await store().txn({ then: [deleteOp({ prefix: 'past/' })] })).revision;
    const at = async (revision: number): Promise<string> => {
      const { kvs } = await store().range({ prefix: 'past/', revision });
      return kvs.map((kv) => `${kv.key}=${text(kv.value)}@${kv.version}`).join(' ');
    };
    expect(await at(first)).toBe('past/a=1@1');
    expect(await at(second)).toBe('past/a=2@2 past/b=1@1');
    expect(await at(gone)).toBe('');
    expect(text((await store().get('past/a', { revision: first }))?.value)).toBe('1');
    await expectError(store().range({ prefix: 'past/', revision: gone + 100 }), 'invalid');
    await store().compact(second);
    expect(await at(second)).toBe('past/a=2@2 past/b=1@1');
    await expectError(at(second - 1), 'compacted');
    await store().compact(first); // Forgetting less than is forgotten is no error.
  });
}

function watches(open: () => Promise<Store>): void {
  const { put, store } = handle(open);

  it('first says where it stands, then tells every change of its range in order, revision by revision', async () => {
    const before = await put('w/before', '');
    const watch = follow(store(), { prefix: 'w/' });
    expect(await watch.next()).toEqual({ revision: before, events: [] });
    const both = (await store().txn({ then: [putOp('w/a', '1'), putOp('w/b', '1'), putOp('other', '')] })).revision;
    const again = await put('w/a', '1');
    const gone = (await store().txn({ then: [deleteOp({ prefix: 'w/' })] })).revision;
    expect((await watch.changes(3)).map(describeBatch)).toEqual([
      `${both}: put w/a=1@1 put w/b=1@1`,
      `${again}: put w/a=1@2`,
      `${gone}: delete w/a delete w/b delete w/before`,
    ]);
    expect(await watch.stop()).toEqual([]);
  });

  it('watches one key and an interval', async () => {
    const from = await put('one/start', '');
    await store().txn({ then: ['one/a', 'one/aa', 'one/b', 'one/c'].map((key) => putOp(key, '')) });
    const key = follow(store(), { key: 'one/a', fromRevision: from });
    const interval = follow(store(), { start: 'one/aa', end: 'one/c', fromRevision: from });
    expect((await key.changes(1)).map(describeBatch)).toEqual([`${from + 1}: put one/a=@1`]);
    expect((await interval.changes(1)).map(describeBatch)).toEqual([`${from + 1}: put one/aa=@1 put one/b=@1`]);
    await Promise.all([key.stop(), interval.stop()]);
  });

  it('has no gap and no repeat between the past and the present, with writers at work', async () => {
    const from = (await put('g/start', '')) + 1;
    const total = 400;
    const writer = async (name: string): Promise<void> => {
      for (let index = 0; index < total / 4; index++) await put(`g/${name}`, String(index));
    };
    const writing = Promise.all(['1', '2', '3', '4'].map(writer));
    const early = follow(store(), { prefix: 'g/', fromRevision: from });
    const first = await early.changes(20);
    const late = follow(store(), { prefix: '', fromRevision: from });
    const seenLate = (await late.changes(total)).map(describeBatch);
    await writing;
    const seenEarly = [...first, ...(await early.changes(total - 20))].map(describeBatch);
    expect(seenLate).toEqual(seenEarly);
    expect(new Set(seenLate).size).toBe(total);
    expect(seenLate.map((line) => Number.parseInt(line, 10))).toEqual(
      Array.from({ length: total }, (_, index) => from + index),
    );
    await Promise.all([early.stop(), late.stop()]);
  });

  it('loses nothing for a consumer that is far slower than the writers', async () => {
    const from = (await put('s/start', '')) + 1;
    const slow = follow(store(), { prefix: 's/' });
    await slow.next();
    const total = 3000;
    for (let begun = 0; begun < total; begun += 100)
      await Promise.all(Array.from({ length: 100 }, (_, index) => put(`s/${index}`, String(begun))));
    expect((await slow.changes(total)).map(({ revision }) => revision)).toEqual(
      Array.from({ length: total }, (_, index) => from + index),
    );
    await slow.stop();
  });

  it('starts in the future when asked to', async () => {
    const now = await put('later/0', '');
    const watch = follow(store(), { prefix: 'later/', fromRevision: now + 2 });
    await watch.next();
    await put('later/1', '');
    await put('later/2', '');
    expect((await watch.changes(1)).map(describeBatch)).toEqual([`${now + 2}: put later/2=@1`]);
    await watch.stop();
  });

  it('says compacted when what it wants is gone', async () => {
    const first = await put('cp/a', '1');
    await put('cp/a', '2');
    const last = await put('cp/a', '3');
    await store().compact(last);
    await expectError(follow(store(), { prefix: 'cp/', fromRevision: first }).changes(1), 'compacted');
    const next = follow(store(), { prefix: 'cp/', fromRevision: last + 1 });
    await next.next();
    await put('cp/a', '4');
    expect((await next.changes(1)).map(describeBatch)).toEqual([`${last + 1}: put cp/a=4@4`]);
    await next.stop();
  });

  it('ends at once when aborted, also before it began, and when its reader leaves', async () => {
    expect(await follow(store(), { prefix: '', signal: AbortSignal.abort() }).rest()).toEqual([]);
    const abort = new AbortController();
    const waiting = follow(store(), { prefix: 'never/', signal: abort.signal });
    await waiting.next();
    const rest = waiting.rest();
    abort.abort();
    expect(await rest).toEqual([]);
    for await (const batch of store().watch({ prefix: '' })) {
      expect(batch.events).toEqual([]);
      break;
    }
  });
}

function leases(open: () => Promise<Store>, leaseMs: number): void {
  const { put, get, store } = handle(open);

  it('deletes its keys at one revision when it ends, and takes no more', async () => {
    const lease = await store().grantLease(leaseMs);
    expect(lease.ttlMs).toBe(leaseMs);
    const watch = follow(store(), { prefix: 'e/' });
    await watch.next();
    const { revision } = await store().txn({
      then: [
        { op: 'put', key: 'e/1', value: bytes(''), lease: lease.id },
        { op: 'put', key: 'e/2', value: bytes(''), lease: lease.id },
        { op: 'put', key: 'e/stays', value: bytes(''), lease: lease.id },
      ],
    });
    expect((await get('e/1'))?.lease).toBe(lease.id);
    // A put without the lease takes the key off it.
    await put('e/stays', '');
    expect((await get('e/stays'))?.lease).toBeUndefined();
    expect((await watch.changes(3)).map(describeBatch).at(-1)).toBe(`${revision + 2}: delete e/1 delete e/2`);
    await expectError(store().renewLease(lease.id), 'not_found');
    await expectError(
      store().txn({ then: [{ op: 'put', key: 'e/3', value: bytes(''), lease: lease.id }] }),
      'not_found',
    );
    expect(await get('e/3')).toBeUndefined();
    await watch.stop();
  });

  it('lives as long as it is renewed', async () => {
    const lease = await store().grantLease(leaseMs);
    await store().txn({ then: [{ op: 'put', key: 'n/1', value: bytes(''), lease: lease.id }] });
    const other = await store().grantLease(leaseMs);
    await store().txn({ then: [{ op: 'put', key: 'n/2', value: bytes(''), lease: other.id }] });
    const watch = follow(store(), { prefix: 'n/' });
    await watch.next();
    const stop = new AbortController();
    const renewing = (async () => {
      while (!stop.signal.aborted) {
        expect(await store().renewLease(lease.id)).toEqual({ ttlMs: lease.ttlMs });
        await new Promise((resolve) => setTimeout(resolve, leaseMs / 4));
      }
    })();
    // The sibling's end shows that more than a lease's life has passed.
    expect((await watch.changes(1))[0]?.events).toMatchObject([{ type: 'delete', key: 'n/2' }]);
    stop.abort();
    await renewing;
    expect(await get('n/1')).toBeDefined();
    await watch.stop();
    await store().revokeLease(lease.id);
  });

  it('ends when revoked, once or twice; a key moves from lease to lease', async () => {
    const [first, second] = [await store().grantLease(60_000), await store().grantLease(60_000)];
    await store().txn({ then: [{ op: 'put', key: 'm/1', value: bytes(''), lease: first.id }] });
    await store().txn({ then: [{ op: 'put', key: 'm/1', value: bytes(''), lease: second.id }] });
    await store().revokeLease(first.id);
    expect((await get('m/1'))?.lease).toBe(second.id);
    await store().revokeLease(second.id);
    await store().revokeLease(second.id);
    expect(await get('m/1')).toBeUndefined();
    await expectError(store().renewLease('0000000000000000'), 'not_found');
    await expectError(store().grantLease(0), 'invalid');
  });
}

function handle(open: () => Promise<Store>) {
  let opened: Store;
  beforeAll(async () => {
    opened = await open();
  });
  afterAll(() => opened.close());
  return {
    store: () => opened,
    put: async (key: string, value: string) => (await opened.txn({ then: [putOp(key, value)] })).revision,
    get: (key: string) => opened.get(key),
  };
}

/** A watch that is read step by step. */
export function follow(store: Store, options: Parameters<Store['watch']>[0]) {
  const abort = new AbortController();
  const iterator = store.watch({ signal: abort.signal, ...options })[Symbol.asyncIterator]();
  const rest = async (): Promise<WatchBatch[]> => {
    const batches: WatchBatch[] = [];
    for (let step = await iterator.next(); step.done !== true; step = await iterator.next()) batches.push(step.value);
    return batches;
  };
  return {
    next: async () => (await iterator.next()).value as WatchBatch,
    /** The next `count` batches with events. */
    changes: async (count: number): Promise<WatchBatch[]> => {
      const batches: WatchBatch[] = [];
      while (batches.length < count) {
        const step = await iterator.next();
        if (step.done === true) throw new Error(`the watch ended after ${batches.length} of ${count} batches`);
        if (step.value.events.length > 0) batches.push(step.value);
      }
      return batches;
    },
    rest,
    stop: async (): Promise<StoreEvent[]> => {
      const left = rest();
      abort.abort();
      return (await left).flatMap(({ events }) => events);
    },
  };
}

async function expectError(promise: Promise<unknown>, code: string): Promise<void> {
  const error: unknown = await promise.then(
    () => 'nothing',
    (thrown: unknown) => thrown,
  );
  expect(isEruError(error) ? error.code : error).toBe(code);
}

function putOp(key: string, value: string): TxnOp {
  return { op: 'put', key, value: bytes(value) };
}

function deleteOp(range: KeyRange): TxnOp {
  return { op: 'delete', range };
}

function bytes(value: string): Uint8Array {
  return new Uint8Array(Buffer.from(value));
}

function text(value: Uint8Array | undefined): string {
  return value === undefined ? 'absent' : Buffer.from(value).toString();
}

function describeBatch({ revision, events }: WatchBatch): string {
  const lines = events.map((event) =>
    event.type === 'put' ? `put ${event.kv.key}=${text(event.kv.value)}@${event.kv.version}` : `delete ${event.key}`,
  );
  return `${revision}: ${lines.join(' ')}`;
}

function summary(result: Awaited<ReturnType<Store['txn']>>['results'][number]): string {
  if (result.op === 'put') return 'put';
  if (result.op === 'delete') return `deleted ${result.deleted}`;
  return result.kvs.map((kv) => `${kv.key}=${text(kv.value)}`).join(' ');
}
