import { EruError } from '@eru/kit';

import type { Write } from './change.ts';
import type { AddressRecord, HeldAddress, Holder, Port, PortRecord, Reservation } from './records.ts';
import { keys } from './records.ts';
import type { NetworkView } from './view.ts';

export interface Rest {
  readonly now: number;
  /** Names this change. */
  readonly change: string;
  /** Milliseconds that an address of this pool rests after its release. */
  quarantineMs(pool: string): number;
}

/** Where a pool's addresses are recorded: once, or once per node. A pool that is gone had the cluster's scope or none. */
export function realmOf(view: NetworkView, pool: string, node: string): string {
  return view.pool(pool)?.definition.scope === 'node' ? `${pool}@${node}` : pool;
}

/**
 * All writes that lead from one reservation to another: its own record, and those that say what it holds. Made in one
 * transaction, so that at every revision the two agree. @throws EruError `exists` when another owner holds a port or MAC
 */
export function reservationWrites(
  view: NetworkView,
  before: Reservation | undefined,
  after: Reservation | undefined,
  rest: Rest,
): Write[] {
  const one = after ?? before;
  if (one === undefined) return [];
  const writes = new Map<string, Write>();
  const set = (key: string, record?: object): void => {
    writes.set(key, record === undefined ? { key } : { key, record });
  };
  if (before !== undefined) set(keys.reservation(before.owner, before.ifname));
  if (after !== undefined) set(keys.reservation(after.owner, after.ifname), after);

  const realm = (reservation: Reservation, { pool }: HeldAddress): string => realmOf(view, pool, reservation.node);
  for (const held of before?.addresses ?? []) {
    const key = keys.address(realm(before as Reservation, held), held.ip);
    const restMs = before?.wasBound === true ? rest.quarantineMs(held.pool) : 0;
    if (restMs === 0) set(key);
    else
      set(key, {
        state: 'quarantined',
        owner: one.owner,
        until: rest.now + restMs,
        change: rest.change,
      } satisfies AddressRecord);
  }
  for (const held of after?.addresses ?? []) {
    const key = keys.address(realm(after as Reservation, held), held.ip);
    const known = view.get<AddressRecord>(key);
    if (known?.state === 'held' && !(before !== undefined && holds(before, known)))
      throw new EruError('exists', `${held.ip} of pool ${held.pool} belongs to ${known.owner} (${known.ifname})`, {
        details: { ip: held.ip, owner: known.owner },
      });
    set(key, { state: 'held', ...holderOf(after as Reservation) } satisfies AddressRecord);
  }

  if (before?.mac !== undefined) set(keys.mac(before.mac));
  if (after?.mac !== undefined) {
    const key = keys.mac(after.mac);
    const known = view.get<Holder>(key);
    if (known !== undefined && !(before !== undefined && holds(before, known)))
      throw new EruError('exists', `MAC ${after.mac} belongs to ${known.owner} (${known.ifname})`);
    set(key, holderOf(after));
  }

  for (const port of before?.ports ?? []) {
    const { node } = before as Reservation;
    const key = keys.port(node, port);
    const others = (view.get<PortRecord>(key)?.holders ?? []).filter((holder) => !holds(before as Reservation, holder));
    set(key, others.length === 0 ? undefined : { holders: others });
  }
  for (const port of after?.ports ?? []) {
    const { node } = after as Reservation;
    const key = keys.port(node, port);
    const planned = writes.get(key);
    const holders =
      ((planned === undefined ? view.get<PortRecord>(key) : planned.record) as PortRecord | undefined)?.holders ?? [];
    const clash = holders.find(({ hostIp }) => hostIp === '' || port.hostIp === '' || hostIp === port.hostIp);
    if (clash !== undefined) throw portTaken(port, node, clash.owner);
    set(key, {
      holders: [...holders, { ...holderOf(after as Reservation), hostIp: port.hostIp }],
    } satisfies PortRecord);
  }
  return [...writes.values()];
}

function portTaken({ protocol, hostPort, hostIp }: Port, node: string, owner: string): EruError {
  return new EruError(
    'exists',
    `port ${hostIp}${hostIp === '' ? '' : ':'}${hostPort}/${protocol} of node ${node} belongs to ${owner}`,
  );
}

function holderOf({ owner, ifname, change }: Reservation): Holder {
  return { owner, ifname, change };
}

function holds({ owner, ifname }: Reservation, holder: Pick<Holder, 'owner' | 'ifname'>): boolean {
  return holder.owner === owner && holder.ifname === ifname;
}
