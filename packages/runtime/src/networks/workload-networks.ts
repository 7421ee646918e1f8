import { addressList, addressText, type EngineNetwork, type WorkloadSpec } from '@eru/engines';
import { EruError, isEruError } from '@eru/kit';
import {
  canonical,
  type InterfaceRequest,
  type NetworkService,
  type Reservation,
  type Sandbox,
  type WorkloadSource,
} from '@eru/network';

import { ownerOf, type InterfaceWish } from './network-wishes.ts';

/** What is needed of a network daemon, in this process or elsewhere. */
export interface NetworkDaemon {
  service: NetworkService;
  /** Is told whom to ask which workloads there are, so that addresses of what is gone are released. */
  addSource?(source: WorkloadSource): void;
}

/** What networks need to know of a workload. */
export interface Networked {
  /** Its engine's, and its namespace's. */
  id: string;
  spec: Pick<WorkloadSpec, 'name' | 'publish'>;
  /** Name of a published port -> the port chosen. */
  ports: Readonly<Record<string, number>>;
}

/** What a run has of its namespace. */
export interface AttachedNetwork {
  /** Path of the namespace. */
  netns: string;
  /** Network name -> address, or one of each family with a comma, without prefix length. */
  addresses: Readonly<Record<string, string>>;
  nameservers: readonly string[];
  search: readonly string[];
}

/** A workload as the one that takes its place, or whose place it takes, sees it. */
export interface Neighbour {
  name: string;
  wishes: readonly InterfaceWish[];
  /** It runs, or will again by its policy: what it holds is its own. */
  keeps: boolean;
}

/**
 * Networks of workloads, as the node's network daemon gives them. A workload owns its addresses by its name from creation to
 * removal; the daemon binds them while it runs. Everything may be asked again.
 */
export class WorkloadNetworks {
  readonly #service: NetworkService;
  readonly #kind: 'process' | 'container';

  constructor(service: NetworkService, kind: 'process' | 'container') {
    this.#service = service;
    this.#kind = kind;
  }

  /** What it is to have, before it runs. What it inherits comes with its start. When this fails, release it. */
  async reserve(record: Networked, wishes: readonly InterfaceWish[], before?: Neighbour): Promise<void> {
    for (const wish of wishes)
      if (!(await this.#inherited(wish, before))) await this.#reserve(record, wish, wishes[0] === wish);
  }

  /**
   * What it is to be attached to at its start, once it holds what it does not have to wait for: while the one before it keeps
   * its addresses, it gets others for the time being.
   */
  async settle(record: Networked, wishes: readonly InterfaceWish[], before?: Neighbour): Promise<InterfaceRequest[]> {
    const owner = ownerOf(record.spec.name);
    const networks: InterfaceRequest[] = [];
    for (const [index, wish] of wishes.entries()) {
      const inherited = await this.#inherited(wish, before);
      const waits = inherited && before?.keeps === true;
      // Refused while it is bound: an address is in one namespace.
      if (inherited && !waits)
        await this.#service.transfer({ from: ownerOf(before?.name ?? ''), to: owner, ifname: wish.ifname });
      if (!waits) await this.#reserve(record, wish, index === 0);
      // The same port of the machine may be the other one's for so long.
      const ports = index === 0 && !waits ? portsOf(record) : undefined;
      networks.push({ network: wish.network, ifname: wish.ifname, ports });
    }
    return networks;
  }

  /** Its namespace with all interfaces. */
  async attach(record: Networked, wishes: readonly InterfaceWish[], before?: Neighbour): Promise<AttachedNetwork> {
    const sandbox = await this.#service.attach({
      id: record.id,
      owner: ownerOf(record.spec.name),
      kind: this.#kind,
      networks: await this.settle(record, wishes, before),
      policy: 'ephemeral', // Of what is not reserved: the addresses for the time being.
    });
    return attachedOf(sandbox);
  }

  /** Interfaces and namespace are gone, addresses stay reserved. */
  async detach({ id }: Networked): Promise<void> {
    await this.#service.detach({ id });
  }

  /** The one before it is gone: what that one held is its own now, also while it runs. Answers what it is attached to then. */
  async succeed(
    record: Networked,
    wishes: readonly InterfaceWish[],
    before: Neighbour,
    running: boolean,
  ): Promise<AttachedNetwork | undefined> {
    const [owner, from] = [ownerOf(record.spec.name), ownerOf(before.name)];
    for (const wish of wishes.filter((one) => takesOver(one, before))) {
      const { network, ifname } = wish;
      const held = await this.#held(owner, ifname);
      const old = await this.#held(from, ifname);
      // One that asked for another address has it.
      if (held?.policy === 'fixed' && old !== undefined) continue;
      if (held !== undefined && held.policy === 'ephemeral') {
        await this.#service.disconnect({ id: record.id, name: ifname });
        await this.#service.release({ owner, ifname, lost: true });
      }
      if (old !== undefined) await this.#hand(from, owner, ifname);
      if (!running || (await this.#interfaces(record)).includes(ifname)) continue;
      const ports = wishes[0] === wish ? portsOf(record) : undefined;
      await this.#service.connect({ id: record.id, network: { network, ifname, ports }, policy: 'fixed' });
    }
    return running ? attachedOf(await this.#service.describe({ id: record.id })) : undefined;
  }

  /** It is removed: what another one is to have goes to that one, the rest is free. Of `heirs` the first that lacks it. */
  async release({ spec }: Networked, heirs: readonly Neighbour[]): Promise<void> {
    const owner = ownerOf(spec.name);
    for (const { network, ifname, policy } of await this.#service.reservations({ owner })) {
      let given = false;
      for (const heir of policy === 'fixed' ? heirs : []) {
        if (!heir.wishes.some((wish) => wish.network === network && wish.ifname === ifname)) continue;
        if ((await this.#held(ownerOf(heir.name), ifname)) !== undefined) continue;
        await this.#hand(owner, ownerOf(heir.name), ifname);
        given = true;
        break;
      }
      if (!given) await this.#service.release({ owner, ifname, lost: true });
    }
  }

  /** One more interface; in its namespace at once when it runs. Answers its addresses. */
  async connect(record: Networked, wish: InterfaceWish, running: boolean): Promise<string[]> {
    const { network, ifname } = wish;
    const reservation = await this.#reserve(record, wish, false);
    if (running) await this.#service.connect({ id: record.id, network: { network, ifname }, policy: 'fixed' });
    return reservation?.addresses.map(({ ip }) => ip) ?? [];
  }

  async disconnect(record: Networked, { ifname }: InterfaceWish): Promise<void> {
    await this.#service.disconnect({ id: record.id, name: ifname });
    await this.#service.release({ owner: ownerOf(record.spec.name), ifname, lost: true });
  }

  /** As it is attached now. */
  async attached({ id }: Networked): Promise<AttachedNetwork> {
    return attachedOf(await this.#service.describe({ id }));
  }

  async list(): Promise<EngineNetwork[]> {
    const networks = await this.#service.networks();
    return networks.map(({ definition: { name, driver, plugins = [] }, cidrs }) => ({
      name,
      driver: driver ?? plugins[0]?.type ?? '',
      subnets: cidrs,
    }));
  }

  /** Fixed, under its name. Undefined where the network's own plugins give addresses. */
  async #reserve(record: Networked, wish: InterfaceWish, publishes: boolean): Promise<Reservation | undefined> {
    const { network, ifname, ip } = wish;
    const known = (await this.#service.networks()).find(({ definition }) => definition.name === network);
    if (known?.definition.pools.length === 0) {
      if (ip === '') return undefined;
      throw new EruError(
        'unsupported',
        `networks: ${network} has no pool of Eru's; its plugins choose, leave ${ip} out`,
      );
    }
    const ports = publishes ? portsOf(record) : undefined;
    try {
      return await this.#service.reserve({
        owner: ownerOf(record.spec.name),
        kind: this.#kind,
        network: { network, ifname, ...(ip !== '' && { ips: addressList(ip) }), ports },
        policy: 'fixed',
      });
    } catch (error) {
      const { code, message, details } = EruError.from(error);
      // Somebody has it; `exists` would say that the workload is there.
      throw new EruError(code === 'exists' ? 'busy' : code, `networks: ${message}`, { cause: error, details });
    }
  }

  /** Whether what the one before it holds is to be its own. */
  async #inherited(wish: InterfaceWish, before: Neighbour | undefined): Promise<boolean> {
    if (before === undefined || !takesOver(wish, before)) return false;
    const held = await this.#held(ownerOf(before.name), wish.ifname);
    if (held === undefined || held.policy !== 'fixed') return false;
    const has = held.addresses.map(({ ip }) => ip);
    return addressList(wish.ip).every((ip) => has.includes(canonical('networks', ip)));
  }

  /** From one that is attached nowhere any more, whatever a silent store has not been told of. */
  async #hand(from: string, to: string, ifname: string): Promise<void> {
    await this.#service.transfer({ from, to, ifname, lost: true });
  }

  async #held(owner: string, ifname: string): Promise<Reservation | undefined> {
    return (await this.#service.reservations({ owner })).find((one) => one.ifname === ifname);
  }

  async #interfaces({ id }: Networked): Promise<string[]> {
    try {
      return (await this.#service.describe({ id })).interfaces.map(({ ifname }) => ifname);
    } catch (error) {
      if (isEruError(error, 'not_found')) return [];
      throw error;
    }
  }
}

function takesOver(wish: InterfaceWish, before: Neighbour): boolean {
  return before.wishes.some(({ network, ifname }) => network === wish.network && ifname === wish.ifname);
}

/** A number is the same port outside; a name's port was chosen free outside, and is what the workload is told to listen on. */
function portsOf({ spec, ports }: Networked): { containerPort: number; hostPort: number }[] {
  const numbers = spec.publish.map((entry) => (/^\d+$/.test(entry) ? Number(entry) : (ports[entry] ?? 0)));
  return [...new Set(numbers)].map((port) => ({ containerPort: port, hostPort: port }));
}

export function attachedOf({ netns, interfaces }: Sandbox): AttachedNetwork {
  const addresses = interfaces.map(
    ({ network, addresses: all }) =>
      [network, addressText(all.map(({ address }) => address.split('/')[0] ?? ''))] as const,
  );
  return {
    netns,
    addresses: Object.fromEntries(addresses),
    nameservers: [...new Set(interfaces.flatMap(({ dns }) => dns?.nameservers ?? []))],
    search: [...new Set(interfaces.flatMap(({ dns }) => dns?.search ?? []))],
  };
}
