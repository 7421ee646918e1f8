import { formatAddress } from './address.ts';
import type { Changes, Write } from './change.ts';
import { blockAt } from './pool.ts';
import type { AddressRecord, Reservation } from './records.ts';
import { keys } from './records.ts';
import type { NetworkView } from './view.ts';

export interface Swept {
  /** Reservations of temporary owners whose time was over. */
  expired: Reservation[];
  /** Fixed reservations that nobody had bound for longer than their pool allows. */
  idle: Reservation[];
  /** Addresses whose quarantine is over. */
  rested: number;
  /** Blocks given back. */
  blocks: string[];
}

/** Each end is its own transaction on what is known; whoever was faster wins, and the next sweep sees the rest. */
export async function sweep(
  view: NetworkView,
  changes: Changes,
  { node, now, writes }: { node: string; now: number; writes: (before: Reservation) => Write[] },
  signal?: AbortSignal,
): Promise<Swept> {
  const swept: Swept = { expired: [], idle: [], rested: 0, blocks: [] };
  for (const before of view.reservations()) {
    const expired = over(before, now);
    if (!expired && !tooIdle(view, before, now)) continue;
    const released = await changes.make(() => {
      const still = view.reservation(before.owner, before.ifname);
      const same = still !== undefined && still.change === before.change;
      return { writes: same ? writes(still) : [], answer: same };
    }, signal);
    if (released) (expired ? swept.expired : swept.idle).push(before);
  }
  for (const [key, record] of view.list<AddressRecord>(`${keys.root}addresses/`)) {
    if (record.state !== 'quarantined' || record.until > now) continue;
    const ended = await changes.make(() => {
      const same = view.get<AddressRecord>(key)?.change === record.change;
      return { writes: same ? [{ key }] : [], answer: same };
    }, signal);
    if (ended) swept.rested += 1;
  }
  for (const { key, cidr } of emptyBlocks(view, node)) {
    await changes.make(() => ({ writes: view.revisionOf(key) === 0 ? [] : [{ key }], answer: undefined }), signal);
    swept.blocks.push(cidr);
  }
  return swept;
}

function over({ expiresAt, state }: Reservation, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now && state === 'reserved';
}

function tooIdle(view: NetworkView, { state, idleSince, addresses }: Reservation, now: number): boolean {
  if (state !== 'reserved' || idleSince === undefined) return false;
  return addresses.some(({ pool }) => {
    const idleMs = view.pool(pool)?.definition.idleMs;
    return idleMs !== undefined && idleSince + idleMs <= now;
  });
}

/** Blocks of this node with no address in them. Only their node gives them back, so it cannot be taking one meanwhile. */
function emptyBlocks(view: NetworkView, node: string): { key: string; cidr: string }[] {
  return [...view.pools()].flatMap((pool) => {
    const { name } = pool.definition;
    const used = new Set([...view.taken(name).keys()].map((value) => blockAt(pool, value).first));
    return [...view.blocks(name)].flatMap(([first, { record }]) => {
      if (record.node !== node || used.has(first)) return [];
      return [{ key: keys.block(name, formatAddress({ family: pool.cidr.family, value: first })), cidr: record.cidr }];
    });
  });
}
