import { EruError, isEruError, seededRandom, type Clock, type Random } from '@eru/kit';
import type { KeyValue, Store, StoreEvent, Txn, TxnResult } from '@eru/store';
import { expect } from 'vitest';

import { Allocator } from './allocator.ts';
import { brokenInvariants } from './invariants.ts';
import { decode, keys, type AddressRecord, type Reservation } from './records.ts';

const nodes = ['a', 'b', 'c'];
const owners = ['w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'w8'];

export interface Life {
  store: Store;
  seed: number;
  steps: number;
  clock: Clock & { move(ms: number): void };
}

/**
 * A random life of three nodes on one store: they reserve, bind, unbind, release, hand over and sweep at once, replies are
 * lost, nodes die between any two calls of the store and come back. Then every revision is looked at.
 */
export async function live({
  store,
  seed,
  steps,
  clock,
}: Life): Promise<{ revisions: number; refused: Record<string, number> }> {
  const random = seededRandom(seed);
  const faulty = new FaultyStore(store, random);
  const opened = await store.range({ prefix: keys.root, limit: 1 });
  const open = (node: string): Promise<Allocator> =>
    Allocator.open({ store: faulty.forNode(node), node, clock, random: seededRandom(random.int(2 ** 31)) });
  const allocators = new Map<string, Allocator>();
  for (const node of nodes) allocators.set(node, await open(node));
  const of = (node: string): Allocator => allocators.get(node) as Allocator;
  await of('a').putPool({ name: 'p', cidr: '10.0.0.0/28', blockSize: 30, quarantineMs: 50 });
  await of('a').putPool({ name: 'six', cidr: 'fd00::/124', blockSize: 126, quarantineMs: 50 });
  faulty.rate = 0.15;

  const pick = <T>(values: readonly T[]): T => values[random.int(values.length)] as T;
  const refused: Record<string, number> = {};
  const reserve = (allocator: Allocator): Promise<unknown> => {
    const pinned = random.int(3) === 0 ? { ips: [`10.0.0.${2 + random.int(13)}`] } : {};
    const published = random.int(3) === 0 ? { ports: [{ hostPort: 80 + random.int(3), containerPort: 80 }] } : {};
    return allocator.reserve({
      owner: pick(owners),
      ifname: pick(['eth0', 'eth1']),
      kind: 'container',
      network: 'net',
      pools: pick([['p'], ['p', 'six']]),
      mac: 'auto',
      policy: pick(['fixed', 'ephemeral']),
      bind: random.int(3) === 0,
      ...(random.int(4) === 0 && { expiresInMs: 100 }),
      ...pinned,
      ...published,
    });
  };
  const verbs: ((allocator: Allocator) => Promise<unknown>)[] = [
    reserve,
    reserve,
    reserve,
    (allocator) => allocator.bind(pick(owners), pick(['eth0', 'eth1'])),
    (allocator) => allocator.unbind(pick(owners), pick(['eth0', 'eth1'])),
    (allocator) => allocator.release(pick(owners), { lost: random.int(5) === 0 }),
    (allocator) => allocator.transfer(pick(owners), pick(owners), { lost: random.int(5) === 0 }),
    (allocator) => allocator.sweep(),
  ];
  for (let step = 0; step < steps; step++) {
    await Promise.all(
      Array.from({ length: 1 + random.int(4) }, async () => {
        const allocator = of(pick(nodes));
        try {
          await pick(verbs)(allocator);
        } catch (error) {
          // What it may say; anything else is a bug.
          const known = ['no_capacity', 'exists', 'not_found', 'precondition', 'fenced', 'unavailable', 'conflict'];
          if (!isEruError(error) || !known.includes(error.code)) throw error;
          refused[error.code] = (refused[error.code] ?? 0) + 1;
        }
      }),
    );
    clock.move(random.int(20));
    if (random.int(8) === 0) {
      const node = pick(nodes);
      of(node).close();
      faulty.kill(node);
      allocators.set(node, await open(node));
    }
  }
  faulty.rate = 0;
  const revisions = await checkHistory(store, opened.revision);
  // A restart has the same state.
  const before = stateOf(await caughtUp(of('a'), store));
  const again = await open('a');
  expect(stateOf(again)).toEqual(before);
  for (const allocator of [...allocators.values(), again]) allocator.close();
  return { revisions, refused };
}

/** Goes through all revisions since `from`. @returns how many */
async function checkHistory(store: Store, from: number): Promise<number> {
  const end = (await store.range({ prefix: keys.root, limit: 1 })).revision;
  const now = new Map<string, KeyValue>();
  let checked = 0;
  const stop = new AbortController();
  for await (const { revision, events } of store.watch({
    prefix: keys.root,
    fromRevision: from + 1,
    signal: stop.signal,
  })) {
    const byRevision = new Map<number, StoreEvent[]>();
    for (const event of events) {
      const at = event.type === 'put' ? event.kv.modRevision : event.modRevision;
      byRevision.set(at, [...(byRevision.get(at) ?? []), event]);
    }
    for (const [at, changes] of byRevision) {
      const before = new Map(now);
      for (const event of changes) {
        if (event.type === 'put') now.set(event.kv.key, event.kv);
        else now.delete(event.key);
      }
      const broken = [
        ...brokenInvariants([...now.values()]),
        ...hastyReuse(
          before,
          now,
          changes.map((event) => (event.type === 'put' ? event.kv.key : event.key)),
        ),
      ];
      expect(broken, `at revision ${at}`).toEqual([]);
      checked += 1;
    }
    if (revision >= end) stop.abort();
  }
  return checked;
}

/** Addresses that an automatic reservation got out of their quarantine. */
function hastyReuse(
  before: ReadonlyMap<string, KeyValue>,
  now: ReadonlyMap<string, KeyValue>,
  changed: readonly string[],
): string[] {
  return changed.flatMap((key) => {
    const [was, is] = [before.get(key), now.get(key)];
    if (!key.startsWith(`${keys.root}addresses/`) || was === undefined || is === undefined) return [];
    const [rested, held] = [decode<AddressRecord>(was), decode<AddressRecord>(is)];
    if (rested.state !== 'quarantined' || held.state !== 'held') return [];
    const reservation = decode<Reservation>(now.get(keys.reservation(held.owner, held.ifname)) as KeyValue);
    return reservation.pinned || reservation.createdAt >= rested.until
      ? []
      : [`${key} was taken ${rested.until - reservation.createdAt} ms early`];
  });
}

async function caughtUp(allocator: Allocator, store: Store): Promise<Allocator> {
  await allocator.putPool({ name: 'last', cidr: '10.1.0.0/24' });
  await expect
    .poll(async () => {
      const { kvs } = await store.range({ prefix: keys.root });
      return kvs.every(({ key, modRevision }) => allocator.view.revisionOf(key) === modRevision);
    })
    .toBe(true);
  return allocator;
}

function stateOf({ view }: Allocator): unknown {
  return Object.fromEntries([...view.list(keys.root)].toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

/** Loses calls before and after their effect, and everything of a node that was killed. */
class FaultyStore {
  rate = 0;
  readonly #store: Store;
  readonly #random: Random;
  readonly #lives = new Map<string, number>();

  constructor(store: Store, random: Random) {
    this.#store = store;
    this.#random = random;
  }

  kill(node: string): void {
    this.#lives.set(node, (this.#lives.get(node) ?? 0) + 1);
  }

  forNode(node: string): Store {
    const life = this.#lives.get(node) ?? 0;
    const store = this.#store;
    const lost = (): EruError => new EruError('unavailable', 'lost');
    const txn = async (request: Txn): Promise<TxnResult> => {
      if ((this.#lives.get(node) ?? 0) !== life || this.#random.next() < this.rate / 2) throw lost();
      const result = await store.txn(request);
      if (this.#random.next() < this.rate / 2) throw lost();
      return result;
    };
    return new Proxy(store, {
      get: (target, key) => {
        if (key === 'txn') return txn;
        const value: unknown = Reflect.get(target, key);
        return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
      },
    });
  }
}

/** Stands still but for `move`; sleeps take no time. */
export function steppedClock(): Life['clock'] {
  let now = Date.UTC(2026, 0, 1);
  return {
    now: () => now,
    monotonic: () => now,
    sleep: (_ms, signal) =>
      new Promise((resolve, reject) =>
        setImmediate(() => (signal?.aborted === true ? reject(signal.reason) : resolve())),
      ),
    timer: () => ({ cancel: () => {} }),
    move: (ms) => {
      now += ms;
    },
  };
}
