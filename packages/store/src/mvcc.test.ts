import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { follow } from './conformance.suite.ts';
import { openMemoryStore } from './embedded.ts';
import type { Compare, KeyRange, KeyValue, Store, Txn, TxnOp, TxnOpResult } from './store.ts';

/** The meaning of the store, as slowly and plainly as it can be said: a list of states. */
class Model {
  /** `states[r]` is everything at revision r. */
  readonly states: Map<string, KeyValue>[] = [new Map(), new Map()];

  get revision(): number {
    return this.states.length - 1;
  }

  read(range: KeyRange, revision: number): KeyValue[] {
    const inside = (key: string): boolean =>
      'key' in range
        ? key === range.key
        : 'prefix' in range
          ? key.startsWith(range.prefix)
          : key >= range.start && key < range.end;
    const state = [...(this.states[revision] ?? new Map<string, KeyValue>()).values()];
    return state.filter(({ key }) => inside(key)).sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  txn(txn: Txn): { succeeded: boolean; revision: number; results: TxnOpResult[] } {
    const succeeded = (txn.compare ?? []).every((compare) => this.holds(compare));
    const next = new Map(this.states.at(-1));
    const at = this.revision + 1;
    let wrote = false;
    this.states.push(next);
    const results = (succeeded ? txn.then : (txn.otherwise ?? [])).map((operation): TxnOpResult => {
      if (operation.op === 'get') {
        const kvs = this.read(operation.range, at);
        const { limit = kvs.length } = operation;
        return { op: 'get', kvs: kvs.slice(0, limit), more: kvs.length > limit };
      }
      if (operation.op === 'put') {
        const old = next.get(operation.key);
        next.set(operation.key, {
          key: operation.key,
          value: operation.value,
          createRevision: old?.createRevision ?? at,
          modRevision: at,
          version: (old?.version ?? 0) + 1,
          lease: undefined,
        });
        wrote = true;
        return { op: 'put' };
      }
      const gone = this.read(operation.range, at);
      for (const { key } of gone) next.delete(key);
      wrote ||= gone.length > 0;
      return { op: 'delete', deleted: gone.length };
    });
    if (!wrote) this.states.pop();
    return { succeeded, revision: this.revision, results };
  }

  private holds({ key, target, op, value }: Compare): boolean {
    const kv = this.states.at(-1)?.get(key);
    if (target === 'value') return kv !== undefined && (Buffer.compare(kv.value, value) === 0) === (op === '=');
    const actual = (target === 'create' ? kv?.createRevision : target === 'mod' ? kv?.modRevision : kv?.version) ?? 0;
    return { '=': actual === value, '!=': actual !== value, '<': actual < value, '>': actual > value }[op];
  }
}

const key = fc.constantFrom('a', 'a/', 'a/1', 'a/2', 'a0', 'b', 'b/1', 'zz');
const value = fc.uint8Array({ maxLength: 3 });
const range = fc.oneof(
  key.map((text): KeyRange => ({ key: text })),
  fc.constantFrom('', 'a', 'a/', 'c').map((prefix): KeyRange => ({ prefix })),
  fc.tuple(key, key).map(([start, end]): KeyRange => ({ start, end })),
);
const compare = fc.oneof(
  fc.record({
    key,
    target: fc.constantFrom('create' as const, 'mod' as const, 'version' as const),
    op: fc.constantFrom('=' as const, '!=' as const, '<' as const, '>' as const),
    value: fc.nat(12),
  }),
  fc.record({ key, target: fc.constant('value' as const), op: fc.constantFrom('=' as const, '!=' as const), value }),
);
const operation: fc.Arbitrary<TxnOp> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ op: fc.constant('put' as const), key, value }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('delete' as const), range }) },
  {
    weight: 1,
    arbitrary: fc.record({ op: fc.constant('get' as const), range, limit: fc.integer({ min: 1, max: 3 }) }),
  },
);
const branch = fc.array(operation, { maxLength: 4 }).map(distinct);
const txn = fc.record({ compare: fc.array(compare, { maxLength: 2 }), then: branch, otherwise: branch });

describe('the engine', () => {
  it('does what the model does: transactions, reads of every revision, and what a watch tells', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(txn, { maxLength: 25 }), fc.nat(10), async (txns, forgotten) => {
        const [store, model] = [await openMemoryStore(), new Model()];
        for (const each of txns) expect(await store.txn(each)).toEqual(model.txn(each));
        for (let revision = 1; revision <= model.revision; revision++) {
          for (const all of [{ prefix: '' }, { prefix: 'a/' }, { start: 'a/', end: 'b' }])
            expect((await store.range({ ...all, revision })).kvs).toEqual(model.read(all, revision));
        }
        await replay(store, model, 1);
        const compacted = Math.min(forgotten + 1, model.revision);
        await store.compact(compacted);
        for (let revision = compacted; revision <= model.revision; revision++)
          expect((await store.range({ prefix: '', revision })).kvs).toEqual(model.read({ prefix: '' }, revision));
        await replay(store, model, compacted);
        await store.close();
      }),
      { numRuns: 300 },
    );
  });

  it('forgets by itself what is over its bound, by revisions and by bytes', async () => {
    const byRevisions = await openMemoryStore({ history: { revisions: 10, bytes: 1e9 } });
    const byBytes = await openMemoryStore({ history: { revisions: 1e9, bytes: 10_000 } });
    for (const store of [byRevisions, byBytes]) {
      for (let index = 0; index < 200; index++)
        await store.txn({ then: [{ op: 'put', key: 'k', value: new Uint8Array(400) }] });
      await expect(follow(store, { prefix: '', fromRevision: 150 }).next()).rejects.toMatchObject({
        code: 'compacted',
      });
      await expect(store.get('k', { revision: 150 })).rejects.toMatchObject({ code: 'compacted' });
      expect((await store.get('k', { revision: 195 }))?.version).toBe(194);
      expect(await follow(store, { prefix: '', fromRevision: 195 }).changes(7)).toHaveLength(7);
      await store.close();
    }
  });
});

/** What a watch tells from `from` on, put on top of the state before, is the present. */
async function replay(store: Store, model: Model, from: number): Promise<void> {
  const state = new Map((model.states[from - 1] ?? new Map<string, KeyValue>()).entries());
  const watch = follow(store, { prefix: '', fromRevision: from });
  const revisions = Math.max(0, model.revision - Math.max(from - 1, 1));
  for (const { revision, events } of await watch.changes(revisions)) {
    for (const event of events) {
      if (event.type === 'put') state.set(event.kv.key, event.kv);
      else state.delete(event.key);
    }
    expect(state).toEqual(model.states[revision]);
  }
  await watch.stop();
}

/** One branch changes a key once; the refusal of the rest is the conformance suite's. */
function distinct(operations: TxnOp[]): TxnOp[] {
  const deletes = operations.some(({ op }) => op === 'delete');
  const seen = new Set<string>();
  return operations.filter((each) => {
    if (each.op !== 'put') return true;
    if (deletes || seen.has(each.key)) return false;
    seen.add(each.key);
    return true;
  });
}
