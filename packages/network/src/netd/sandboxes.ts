import type { Clock, Logger } from '@eru/kit';
import { EruError, isEruError } from '@eru/kit';
import type { Store } from '@eru/store';

import type { Cni } from '../cni/cni.ts';
import { KeyedLock } from '../cni/keyed-lock.ts';
import { checkInterfaceName, checkName } from '../cni/names.ts';
import { addressesOf } from '../cni/result.ts';
import type { Allocator } from '../ipam/allocator.ts';
import { decode, encode, type Reservation } from '../ipam/records.ts';
import type { Namespaces } from './namespaces.ts';
import type { NetworkDefinition } from './network-definition.ts';
import { digestOf, listFor } from './network-definition.ts';
import type { AttachedInterface, InterfaceRequest, Sandbox } from './sandbox.ts';
import { nameInterfaces, reserveRequest, seenIn } from './sandbox.ts';
import { delWithStandIn } from './stand-in.ts';

const prefix = 'sandboxes/';

export interface SandboxesOptions {
  /** This node's own: what is attached here must be known while the cluster's store is silent. */
  local: Store;
  allocator: Allocator;
  cni: Cni;
  namespaces: Namespaces;
  network: (name: string) => NetworkDefinition;
  bootId: string;
  clock: Clock;
  logger: Logger;
}

type Policy = Reservation['policy'];

/**
 * The namespaces of this node's workloads. Each decision is on disk before its effect: `attaching`, then namespace,
 * addresses and plugins, then `attached`; `detaching`, then plugins, addresses and namespace, then nothing. So whoever dies
 * in between leaves a record that says what to undo, and every step may be repeated.
 */
export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #known = new Map<string, Sandbox>();
  readonly #locks = new KeyedLock();

  static async open(options: SandboxesOptions): Promise<Sandboxes> {
    const sandboxes = new Sandboxes(options);
    const { kvs } = await options.local.range({ prefix });
    for (const kv of kvs) {
      const sandbox = decode<Sandbox>(kv);
      sandboxes.#known.set(sandbox.id, sandbox);
    }
    return sandboxes;
  }

  private constructor(options: SandboxesOptions) {
    this.#options = options;
  }

  get(id: string): Sandbox | undefined {
    return this.#known.get(id);
  }

  list(): Sandbox[] {
    return [...this.#known.values()];
  }

  /** Ends what an earlier process left half done, and what an earlier boot left at all. Answers what it ended. */
  async recover(): Promise<Sandbox[]> {
    const { bootId, logger } = this.#options;
    const ended: Sandbox[] = [];
    for (const sandbox of this.list()) {
      const lost = sandbox.bootId !== bootId;
      const half = sandbox.state !== 'attached' || sandbox.interfaces.some(({ state }) => state !== 'attached');
      if (!lost && !half) continue;
      ended.push(sandbox);
      try {
        const broken = sandbox.interfaces.filter(({ state }) => state !== 'attached');
        if (!lost && sandbox.state === 'attached')
          for (const { ifname } of broken) await this.disconnect(sandbox.id, ifname);
        else await this.detach(sandbox.id);
      } catch (error) {
        logger.warn({ err: error, id: sandbox.id }, 'a sandbox could not be ended; the reconciler tries again');
      }
    }
    return ended;
  }

  /** A namespace with these interfaces. Asked again for what is there, it answers the same. When it fails nothing is left. */
  attach(
    request: {
      id: string;
      owner: string;
      kind: Sandbox['kind'];
      networks: readonly InterfaceRequest[];
      policy: Policy;
      pid?: number | undefined;
    },
    signal?: AbortSignal,
  ): Promise<Sandbox> {
    const { id, owner, kind, policy, pid } = request;
    return this.#locks.exclusive(`id/${id}`, async () => {
      checkName('id', id);
      checkName('owner', owner);
      const networks = nameInterfaces(request.networks, []);
      const before = this.#known.get(id);
      if (before !== undefined) {
        const same = before.state === 'attached' && before.owner === owner && sameInterfaces(before, networks);
        if (same && (await this.#alive(before))) return before;
        if (before.state === 'attached' && (await this.#alive(before)))
          throw new EruError('exists', `${id} is attached already, otherwise; detach it first`);
        await this.#detach(before); // What an earlier life left.
      }
      for (const { network, ifname } of networks) {
        this.#options.network(network);
        checkInterfaceName('ifname', ifname);
      }
      if (new Set(networks.map(({ ifname }) => ifname)).size < networks.length)
        throw new EruError('invalid', 'networks: two interfaces have the same ifname');
      const { namespaces, bootId, clock } = this.#options;
      const begun = networks.map((wanted) => this.#begin(wanted));
      let sandbox: Sandbox = {
        id,
        owner,
        kind,
        state: 'attaching',
        netns: namespaces.path(id),
        bootId,
        interfaces: begun,
        createdAt: clock.now(),
      };
      await this.#decide(sandbox, begun);
      try {
        sandbox = { ...sandbox, inode: await (pid === undefined ? namespaces.make(id) : namespaces.adopt(id, pid)) };
        for (const [index, wanted] of networks.entries())
          sandbox = withInterface(
            sandbox,
            await this.#plug(sandbox, wanted, begun[index] as AttachedInterface, policy, signal),
          );
        sandbox = { ...sandbox, state: 'attached' };
        await this.#write(sandbox);
        return sandbox;
      } catch (error) {
        await this.#undo(id, error, () => this.#detach(sandbox));
        throw error;
      }
    });
  }

  /** The namespace goes, with all interfaces; fixed addresses stay their owner's. Detaching what is not there is no error. */
  detach(id: string, signal?: AbortSignal): Promise<void> {
    return this.#locks.exclusive(`id/${id}`, async () => {
      const sandbox = this.#known.get(id);
      if (sandbox !== undefined) await this.#detach(sandbox, signal);
    });
  }

  /** One more interface in a living namespace. */
  connect(id: string, request: InterfaceRequest, policy: Policy, signal?: AbortSignal): Promise<Sandbox> {
    return this.#locks.exclusive(`id/${id}`, async () => {
      const sandbox = this.#attached(id);
      const used = sandbox.interfaces.map(({ ifname }) => ifname);
      const [wanted] = nameInterfaces([request], used);
      if (wanted === undefined) return sandbox;
      const there = sandbox.interfaces.find(({ ifname }) => ifname === wanted.ifname);
      if (there?.network === request.network) return sandbox;
      if (there !== undefined)
        throw new EruError('exists', `${id} has an interface ${wanted.ifname} on network ${there.network}`);
      checkInterfaceName('ifname', wanted.ifname);
      this.#options.network(request.network);
      const begun = this.#begin(wanted);
      await this.#decide(withInterface(sandbox, begun), [begun]);
      try {
        const more = withInterface(sandbox, await this.#plug(sandbox, wanted, begun, policy, signal));
        await this.#write(more);
        return more;
      } catch (error) {
        await this.#undo(id, error, () => this.#drop(id, wanted.ifname));
        throw error;
      }
    });
  }

  /** Takes an interface out of a living namespace, by its name or its network's. */
  disconnect(id: string, name: string): Promise<Sandbox | undefined> {
    return this.#locks.exclusive(`id/${id}`, async () => {
      const found =
        this.#known.get(id)?.interfaces.filter(({ ifname, network }) => ifname === name || network === name) ?? [];
      for (const { ifname } of found) await this.#drop(id, ifname);
      return this.#known.get(id);
    });
  }

  /** A living namespace lost its name: gives it back. False when there is no process in it, so that it is gone. */
  readopt(id: string): Promise<boolean> {
    return this.#locks.exclusive(`id/${id}`, async () => {
      const { namespaces } = this.#options;
      const sandbox = this.#known.get(id);
      if (sandbox?.inode === undefined) return false;
      const pid = await namespaces.processIn(sandbox.inode);
      if (pid === undefined) return false;
      await namespaces.adopt(id, pid);
      // The kernel gives a dead namespace's number to another one: only the interfaces tell.
      const ours = await Promise.all(sandbox.interfaces.map((one) => this.#hasInterface(id, one)));
      if (ours.every(Boolean)) return true;
      await namespaces.remove(id);
      return false;
    });
  }

  /** Whether a process lives in its namespace, whatever its engine says. */
  async occupied(id: string): Promise<boolean> {
    const { namespaces } = this.#options;
    const sandbox = this.#known.get(id);
    if (sandbox?.inode === undefined) return false;
    const pid = await namespaces.processIn(sandbox.inode);
    return pid !== undefined;
  }

  /** Gives interfaces their IPv6 addresses and routes back, as their plugins gave them. */
  restoreIpv6(id: string): Promise<void> {
    return this.#locks.exclusive(`id/${id}`, async () => {
      const { cni, namespaces } = this.#options;
      for (const { ifname, network } of this.#attached(id).interfaces) {
        const { result, config } = (await cni.cache.read({ network, containerId: id, ifname })) ?? {};
        if (result === undefined || config === undefined) continue;
        const { plugins } = JSON.parse(config) as { plugins: { type: string }[] };
        // This plugin makes a cable to the host, on which there are no neighbours.
        const throughGateway = plugins[0]?.type === 'ptp';
        const ips = addressesOf(result, ifname).filter(({ address }) => address.includes(':'));
        if (ips.length === 0) continue;
        const gateway = ips[0]?.gateway ?? '';
        const routes = (result.routes ?? [])
          .filter(({ dst }) => dst.includes(':'))
          .map(({ dst, gw = gateway }) => ({ dst, gateway: gw }))
          .filter((route) => route.gateway !== '');
        await namespaces.restoreIpv6(
          id,
          ifname,
          ips.map(({ address, gateway: own = gateway }) => ({
            address,
            ...(throughGateway && own !== '' && { throughGateway: own }),
          })),
          routes,
        );
      }
    });
  }

  alive(id: string): Promise<boolean> {
    const sandbox = this.#known.get(id);
    return sandbox === undefined ? Promise.resolve(false) : this.#alive(sandbox);
  }

  async #alive({ id, inode }: Sandbox): Promise<boolean> {
    return inode !== undefined && (await this.#options.namespaces.inode(id)) === inode;
  }

  #begin({ network, ifname, ...wanted }: InterfaceRequest & { ifname: string }): AttachedInterface {
    const definition = this.#options.network(network);
    const bandwidth = wanted.bandwidth ?? definition.bandwidth;
    return {
      network,
      ifname,
      state: 'attaching',
      addresses: [],
      ports: [],
      digest: digestOf(definition),
      ...(bandwidth !== undefined && { bandwidth: bandwidth as AttachedInterface['bandwidth'] & object }),
      ...(definition.dns !== undefined && { dns: definition.dns }),
    };
  }

  /** Writes down that these interfaces are about to be. One owner's interface is in one namespace: two would share an address. */
  #decide(sandbox: Sandbox, begun: readonly AttachedInterface[]): Promise<void> {
    const { id, owner } = sandbox;
    return this.#locks.exclusive(`owner/${owner}`, async () => {
      for (const { ifname } of begun) {
        const other = this.list().find(
          (one) => one.id !== id && one.owner === owner && one.interfaces.some((held) => held.ifname === ifname),
        );
        if (other !== undefined)
          throw new EruError('busy', `${ifname} of ${owner} is attached to ${other.id}; detach that first`);
      }
      await this.#write(sandbox);
    });
  }

  async #plug(
    sandbox: Sandbox,
    wanted: InterfaceRequest & { ifname: string },
    begun: AttachedInterface,
    policy: Policy,
    signal: AbortSignal | undefined,
  ): Promise<AttachedInterface> {
    const { cni, allocator, network } = this.#options;
    const definition = network(wanted.network);
    const { ifname } = wanted;
    const held =
      definition.pools.length === 0 ? undefined : await this.#hold(sandbox, wanted, definition, policy, signal);
    const { addresses = [], ports = [], mac } = held ?? {};
    const list = await listFor(definition, { addresses, ports, bandwidth: begun.bandwidth }, (name) =>
      allocator.view.pool(name),
    );
    const result = await cni.add(
      list,
      {
        containerId: sandbox.id,
        ifname,
        netns: sandbox.netns,
        capabilities: {
          ...(mac !== undefined && { mac }),
          ...(begun.bandwidth !== undefined && { bandwidth: { ...begun.bandwidth } }),
          ...(ports.length > 0 && {
            portMappings: ports.map(({ hostIp, ...port }) => ({ ...port, ...(hostIp !== '' && { hostIP: hostIp }) })),
          }),
        },
      },
      { signal },
    );
    const seen = seenIn(result, ifname);
    const missing = addresses.find(({ ip }) => !seen.addresses.some(({ address }) => address.split('/')[0] === ip));
    if (missing !== undefined)
      throw new EruError(
        'failed',
        `network ${definition.name}: its plugins did not give ${ifname} the address ${missing.ip} that they were told`,
      );
    return { ...begun, ...seen, ports, state: 'attached', ...(held !== undefined && { epoch: held.epoch }) };
  }

  /** Reserves and binds. What is this node's already may be used while the cluster's store is silent; the reconciler binds it later. */
  async #hold(
    { owner, kind }: Sandbox,
    wanted: InterfaceRequest & { ifname: string },
    definition: NetworkDefinition,
    policy: Policy,
    signal: AbortSignal | undefined,
  ): Promise<Reservation> {
    const { allocator, logger } = this.#options;
    const { ifname } = wanted;
    const request = { ...reserveRequest(definition, { owner, kind, policy }, wanted), bind: true };
    const reservation = await allocator.reserve(request, signal);
    if (reservation.state === 'bound' && reservation.node === allocator.node) return reservation;
    try {
      return await allocator.bind(owner, ifname, { epoch: reservation.epoch }, signal);
    } catch (error) {
      const silent = isEruError(error, 'unavailable') || isEruError(error, 'timeout');
      if (!silent || reservation.node !== allocator.node || signal?.aborted === true) throw error;
      logger.warn(
        { err: error, owner, ifname },
        'the store is silent; an address that is ours is used before it knows',
      );
      return reservation;
    }
  }

  async #detach(sandbox: Sandbox, signal?: AbortSignal): Promise<void> {
    const { namespaces, local } = this.#options;
    const { id } = sandbox;
    await this.#write({ ...sandbox, state: 'detaching' });
    try {
      for (const one of sandbox.interfaces.toReversed()) await this.#unplug(sandbox, one, signal);
      await namespaces.remove(id);
    } catch (error) {
      await this.#write({ ...(this.#known.get(id) as Sandbox), lastError: EruError.from(error).message });
      throw error;
    }
    await local.txn({ then: [{ op: 'delete', range: { key: prefix + id } }] });
    this.#known.delete(id);
  }

  async #drop(id: string, ifname: string): Promise<void> {
    const sandbox = this.#known.get(id);
    const one = sandbox?.interfaces.find((candidate) => candidate.ifname === ifname);
    if (sandbox === undefined || one === undefined) return;
    await this.#write(withInterface(sandbox, { ...one, state: 'detaching' }));
    await this.#unplug(sandbox, one);
    await this.#write({ ...sandbox, interfaces: sandbox.interfaces.filter((candidate) => candidate !== one) });
  }

  /** Plugins first, then the address: while a plugin cannot be undone, it stays bound. Repeatable. */
  async #unplug(sandbox: Sandbox, one: AttachedInterface, signal?: AbortSignal): Promise<void> {
    const { network, ifname, epoch } = one;
    const { cni, allocator, namespaces, bootId, logger } = this.#options;
    const { id, inode } = sandbox;
    const key = { network, containerId: id, ifname };
    const there = await namespaces.inode(id);
    // One that died before it could write the number had made the namespace that is there.
    const alive =
      there !== undefined && (inode === undefined || inode === there) && (await this.#hasInterface(id, one));
    if (sandbox.bootId !== bootId) {
      // The kernel has forgotten all that the plugins did; what they keep on disk they should forget too.
      await cni.del(key, { signal, netns: '' }).catch(async (error: unknown) => {
        logger.warn(
          { err: error, id, ifname },
          'what an earlier boot left could not be deleted by its plugins; forgotten',
        );
        await cni.cache.remove(key);
      });
    } else if (alive) await cni.del(key, { signal, netns: sandbox.netns });
    else await delWithStandIn(cni, namespaces, key, signal);
    try {
      await allocator.unbind(sandbox.owner, ifname, { epoch }, signal);
    } catch (error) {
      logger.warn({ err: error, id, ifname }, 'an address could not be unbound; the reconciler tries again');
    }
  }

  /** Whether it is there, as far as it is known how it looks. */
  async #hasInterface(id: string, { ifname, mac }: AttachedInterface): Promise<boolean> {
    return mac === undefined || (await this.#options.namespaces.addresses(id, ifname))?.mac === mac;
  }

  #attached(id: string): Sandbox {
    const sandbox = this.#known.get(id);
    if (sandbox?.state === 'attached') return sandbox;
    throw new EruError('not_found', `${id} is not attached here`);
  }

  /** A failure while undoing is not what the caller asks about: the record stays for the reconciler. */
  async #undo(id: string, cause: unknown, undo: () => Promise<void>): Promise<void> {
    try {
      await undo();
    } catch (error) {
      this.#options.logger.warn(
        { err: error, id, cause: EruError.from(cause).message },
        'what failed could not be undone; the reconciler tries again',
      );
    }
  }

  async #write(sandbox: Sandbox): Promise<void> {
    await this.#options.local.txn({ then: [{ op: 'put', key: prefix + sandbox.id, value: encode(sandbox) }] });
    this.#known.set(sandbox.id, sandbox);
  }
}

function withInterface(sandbox: Sandbox, one: AttachedInterface): Sandbox {
  const others = sandbox.interfaces.filter(({ ifname }) => ifname !== one.ifname);
  return { ...sandbox, interfaces: [...others, one] };
}

function sameInterfaces({ interfaces }: Sandbox, wanted: readonly (InterfaceRequest & { ifname: string })[]): boolean {
  return (
    interfaces.length === wanted.length &&
    wanted.every(({ network, ifname, ips = [] }) =>
      interfaces.some(
        (one) =>
          one.network === network &&
          one.ifname === ifname &&
          ips.every((ip) => one.addresses.some(({ address }) => address.split('/')[0] === ip)),
      ),
    )
  );
}
