import type { Store } from '@eru/store';

import type { Cni } from '../cni/cni.ts';
import type { Allocator } from '../ipam/allocator.ts';
import { brokenInvariants } from '../ipam/invariants.ts';
import { keys } from '../ipam/records.ts';
import type { Intents } from './intents.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkDefinition } from './network-definition.ts';
import { digestOf } from './network-definition.ts';
import type { Sandboxes } from './sandboxes.ts';

/** Something that is not as it should be. `key` names it the same in every round. */
export interface Finding {
  key: string;
  /** `fault`: two truths disagree. `note`: it is so on purpose, but somebody should know. */
  level: 'fault' | 'note';
  text: string;
}

export interface DiagnoseOptions {
  store: Store;
  allocator: Allocator;
  cni: Cni;
  namespaces: Namespaces;
  sandboxes: Sandboxes;
  intents: Intents;
  network: (name: string) => NetworkDefinition | undefined;
}

/** Declared (reservations), attached (sandboxes, the plugins' cache, namespaces) and real (what the kernel has), compared. */
export async function diagnose(options: DiagnoseOptions): Promise<Finding[]> {
  const { store, allocator, cni, namespaces, sandboxes } = options;
  const findings: Finding[] = [];
  const fault = (key: string, text: string): void => void findings.push({ key, level: 'fault', text });
  const all = sandboxes.list();
  for (const sandbox of all) {
    const { id, state, lastError } = sandbox;
    if (state !== 'attached')
      fault(`half/${id}`, `${id} is ${state}${lastError === undefined ? '' : `: ${lastError}`}`);
    else if (!(await sandboxes.alive(id)))
      fault(`namespace/${id}`, `the namespace of ${id} is gone from ${sandbox.netns}`);
    else for (const one of await interfaceFindings(options, id)) findings.push(one);
  }
  for (const reservation of allocator.view.reservations()) {
    const { owner, ifname, state, node, kind, addresses } = reservation;
    if (state !== 'bound' || node !== allocator.node || kind === 'foreign') continue;
    if (!all.some((sandbox) => sandbox.owner === owner && sandbox.interfaces.some((one) => one.ifname === ifname)))
      fault(
        `bound/${owner}/${ifname}`,
        `${addresses.map(({ ip }) => ip).join(', ')} of ${owner} (${ifname}) is bound, and attached nowhere here`,
      );
  }
  for (const name of await namespaces.list())
    if (sandboxes.get(name) === undefined)
      fault(`stray/${name}`, `namespace ${namespaces.path(name)} belongs to nothing`);
  for (const { network, containerId, ifname } of await cni.cache.list())
    if (sandboxes.get(containerId)?.interfaces.some((one) => one.ifname === ifname) !== true)
      fault(
        `cache/${network}/${containerId}/${ifname}`,
        `plugins of network ${network} still know ${containerId} (${ifname}), which is not attached`,
      );
  const { kvs } = await store.range({ prefix: keys.root });
  const nodeScoped = new Set(
    [...allocator.view.pools()]
      .filter(({ definition }) => definition.scope === 'node')
      .map(({ definition }) => definition.name),
  );
  for (const text of brokenInvariants(kvs, nodeScoped)) fault(`invariant/${text}`, text);
  return findings;
}

async function interfaceFindings(
  { allocator, namespaces, sandboxes, network }: DiagnoseOptions,
  id: string,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const sandbox = sandboxes.get(id);
  for (const one of sandbox?.interfaces ?? []) {
    const { ifname, addresses, digest } = one;
    const owner = sandbox?.owner ?? '';
    const where = `${id} (${ifname})`;
    const fault = (kind: string, text: string): void =>
      void findings.push({ key: `${kind}/${id}/${ifname}`, level: 'fault', text });
    const real = await namespaces.addresses(id, ifname);
    if (real === undefined) fault('interface', `${where} has no such interface`);
    const lacking = addresses
      .map(({ address }) => address.split('/')[0] as string)
      .filter((ip) => real !== undefined && !real.ips.includes(ip));
    if (lacking.length > 0) fault('address', `${where} has lost ${lacking.join(', ')}`);
    const held = allocator.view.reservation(owner, ifname);
    if (
      one.epoch !== undefined &&
      (held?.state !== 'bound' || held.node !== allocator.node || held.epoch !== one.epoch)
    )
      fault(
        held === undefined || held.epoch !== one.epoch ? 'lost' : 'unbound',
        `${where} uses ${addresses.map(({ address }) => address).join(', ')}, which ${held === undefined ? 'nobody has reserved for it' : held.epoch === one.epoch ? `is only ${held.state} on node ${held.node}` : 'was handed over since'}`,
      );
    const definition = network(one.network);
    if (definition === undefined || digestOf(definition) !== digest)
      findings.push({
        key: `older/${id}/${ifname}`,
        level: 'note',
        text: `${where} was attached by an earlier definition of network ${one.network}, and is detached by that`,
      });
  }
  return findings;
}
