import type { KeyValue } from '@eru/store';

import {
  addressOfKey,
  decode,
  keys,
  type AddressRecord,
  type Holder,
  type PortRecord,
  type Reservation,
} from './records.ts';

/**
 * What must hold of the network's records at every revision; answers what does not. One owner per address: what a
 * reservation says that it holds, the record of the address says too, and the other way round. The same for MACs and ports.
 * `nodeScoped` names the pools that each node has for itself.
 */
export function brokenInvariants(kvs: readonly KeyValue[], nodeScoped: ReadonlySet<string> = new Set()): string[] {
  const broken: string[] = [];
  const at = new Map(kvs.map((kv) => [kv.key, kv]));
  const claimed = new Set<string>();
  const claim = (
    key: string,
    { owner, ifname }: Reservation,
    holders: readonly Pick<Holder, 'owner' | 'ifname'>[],
  ): void => {
    claimed.add(`${key} ${owner} ${ifname}`);
    const own = holders.filter((holder) => holder.owner === owner && holder.ifname === ifname);
    if (own.length === 0)
      broken.push(`${owner} (${ifname}) says it holds ${key}, which says ${JSON.stringify(holders)}`);
  };
  for (const kv of kvs) {
    if (!kv.key.startsWith(`${keys.root}reservations/`)) continue;
    const reservation = decode<Reservation>(kv);
    const { owner, ifname, node, mac } = reservation;
    if (kv.key !== keys.reservation(owner, ifname)) broken.push(`${kv.key} names ${owner} (${ifname})`);
    for (const { pool, ip } of reservation.addresses) {
      const key = keys.address(nodeScoped.has(pool) ? `${pool}@${node}` : pool, ip);
      const record = at.get(key);
      const held = record === undefined ? undefined : decode<AddressRecord>(record);
      claim(key, reservation, held?.state === 'held' ? [held] : []);
    }
    if (mac !== undefined) {
      const record = at.get(keys.mac(mac));
      claim(keys.mac(mac), reservation, record === undefined ? [] : [decode<Holder>(record)]);
    }
    for (const port of new Set(reservation.ports.map((one) => keys.port(node, one)))) {
      const record = at.get(port);
      const holders = record === undefined ? [] : decode<PortRecord>(record).holders;
      claim(port, reservation, holders);
    }
  }
  for (const kv of kvs) {
    const kind = kv.key.split('/')[1];
    if (kind !== 'addresses' && kind !== 'macs' && kind !== 'ports') continue;
    const record = decode<AddressRecord & PortRecord & Holder>(kv);
    if (record.state === 'quarantined') continue;
    for (const { owner, ifname } of kind === 'ports' ? record.holders : [record])
      if (!claimed.has(`${kv.key} ${owner} ${ifname}`)) {
        const shown = kind === 'addresses' ? addressOfKey(kv.key).ip : kv.key;
        broken.push(`${shown} is held for ${owner} (${ifname}), who does not know of it`);
      }
  }
  return broken;
}
