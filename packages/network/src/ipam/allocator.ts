import type { Clock, Logger, Random } from '@eru/kit';
import { EruError, silentLogger, systemClock, systemRandom } from '@eru/kit';
import type { Store } from '@eru/store';

import { checkName } from '../cni/names.ts';
import { canonical, checkMac, type Family } from './address.ts';
import type { Change, Write } from './change.ts';
import { Changes } from './change.ts';
import { AddressPicker, type Picked } from './pick-address.ts';
import { pickPorts, type PortRequest } from './pick-ports.ts';
import { compilePool, type Pool, type PoolDefinition } from './pool.ts';
import type { AddressRecord, PoolRecord, Reservation, WorkloadKind } from './records.ts';
import { decode, keys } from './records.ts';
import { reservationWrites, type Rest } from './reservation-writes.ts';
import { sweep, type Swept } from './sweep.ts';
import { NetworkView } from './view.ts';
import type { ViewCache } from './view-cache.ts';

export interface AllocatorOptions {
  store: Store;
  /** This machine's name among the nodes. */
  node: string;
  /** This node's copy of the records, for a store that is silent; absent: none. */
  cache?: ViewCache | undefined;
  clock?: Clock;
  random?: Random;
  logger?: Logger;
}

export interface ReserveRequest {
  owner: string;
  ifname: string;
  kind: WorkloadKind;
  network: string;
  /** Where addresses may come from, in order of preference; one address of each family that they have. */
  pools: readonly string[];
  /** These very addresses. Resting ones too: who asks for an address means it. */
  ips?: readonly string[] | undefined;
  /** `auto`, or this very MAC; none where the network cannot set one. */
  mac?: string | undefined;
  ports?: readonly PortRequest[] | undefined;
  policy?: 'fixed' | 'ephemeral' | undefined;
  /** Binds it at once, in the same transaction. What is reserved already stays as it is. */
  bind?: boolean | undefined;
  /** Of a temporary owner: released by itself after so long unless transferred. */
  expiresInMs?: number | undefined;
}

/** Who acts, and on which state of the reservation it believes to act. */
export interface Fence {
  /** Refused as `fenced` when the reservation has another. */
  epoch?: number | undefined;
}

/**
 * Who has which address. One record per owner and interface, one per address, MAC and port, all changed together in
 * transactions: so an address has one owner at every revision, whoever crashes, on any number of nodes.
 *
 *     free → reserved → bound → reserved → quarantined → free
 *
 * All verbs are idempotent. Errors: `no_capacity`, `exists` (somebody has it), `not_found`, `precondition`, `fenced`.
 */
export class Allocator {
  readonly view: NetworkView;
  readonly node: string;
  readonly #options: Required<Omit<AllocatorOptions, 'cache'>>;
  readonly #changes: Changes;
  readonly #picker: AddressPicker;
  readonly #stop: AbortController;

  static async open(options: AllocatorOptions): Promise<Allocator> {
    const full = { clock: systemClock, random: systemRandom, logger: silentLogger, ...options };
    const stop = new AbortController();
    const view = await NetworkView.open(full.store, { ...full, signal: stop.signal });
    return new Allocator(full, view, stop);
  }

  private constructor(options: Required<Omit<AllocatorOptions, 'cache'>>, view: NetworkView, stop: AbortController) {
    this.#options = options;
    this.#stop = stop;
    this.view = view;
    this.node = options.node;
    this.#changes = new Changes({ ...options, view });
    this.#picker = new AddressPicker(view, options.node);
  }

  /** Puts a pool, or changes all of it but its network and scope. What is held stays held. */
  putPool(value: unknown, signal?: AbortSignal): Promise<PoolDefinition> {
    const pool = compilePool(value);
    const { definition } = pool;
    return this.#changes.make(() => {
      const before = this.view.pool(definition.name)?.definition;
      if (before !== undefined && (before.scope !== definition.scope || before.cidr !== definition.cidr))
        throw new EruError(
          'precondition',
          `pool ${definition.name} is ${before.cidr} of scope ${before.scope}, and stays so; remove it first, or take another name`,
        );
      if (before === undefined) this.#checkApart(pool);
      const record: PoolRecord = { definition, change: this.#newChange() };
      return { writes: [{ key: keys.pool(definition.name), record }], answer: definition };
    }, signal);
  }

  /**
   * Refused while an address of it is held. From the first transaction on, nobody is given one; so what the store says
   * after it is the truth.
   */
  async removePool(name: string, signal?: AbortSignal): Promise<void> {
    const key = keys.pool(name);
    const set = (draining: boolean): Promise<boolean> =>
      this.#changes.make((): Change<boolean> => {
        const known = this.view.get<PoolRecord>(key);
        if (known === undefined) return { writes: [], answer: false };
        return { writes: [{ key, record: { ...known, draining, change: this.#newChange() } }], answer: true };
      }, signal);
    if (!(await set(true))) return;
    const found = await Promise.all(
      [`${name}/`, `${name}@`].map((realm) =>
        this.#options.store.range({
          prefix: `${keys.root}addresses/${realm}`,
          ...(signal !== undefined && { signal }),
        }),
      ),
    );
    const held = found
      .flatMap(({ kvs }) => kvs)
      .map((kv) => decode<AddressRecord>(kv))
      .find(({ state }) => state === 'held');
    if (held !== undefined) {
      await set(false);
      throw new EruError('precondition', `pool ${name}: ${held.owner} holds an address of it; release it first`);
    }
    const remove = (gone: string): Promise<void> =>
      this.#changes.make(
        () => ({ writes: this.view.revisionOf(gone) === 0 ? [] : [{ key: gone }], answer: undefined }),
        signal,
      );
    for (const [block] of this.view.list(`${keys.root}blocks/${name}/`)) await remove(block);
    await remove(key);
  }

  /** What an owner holds on this interface from here on. Answers what is there when it fits the request. */
  async reserve(request: ReserveRequest, signal?: AbortSignal): Promise<Reservation> {
    checkOwner(request.owner);
    return this.#changes.make(() => this.#reserve(request), signal);
  }

  /** Says that it is about to be on a live interface of this node. Nobody else can hold it bound at the same time. */
  bind(owner: string, ifname: string, { epoch }: Fence = {}, signal?: AbortSignal): Promise<Reservation> {
    return this.#changes.make(() => {
      const before = this.#wanted(owner, ifname, epoch);
      if (before.state === 'bound' && before.node === this.node) return { writes: [], answer: before };
      if (before.state === 'bound')
        throw new EruError(
          'precondition',
          `${owner} (${ifname}) is bound on node ${before.node}; stop it there, or transfer it once that node is lost`,
        );
      const scoped = before.addresses.find(({ pool }) => this.view.pool(pool)?.definition.scope === 'node');
      if (scoped !== undefined && before.node !== this.node)
        throw new EruError(
          'precondition',
          `${owner} (${ifname}) is on node ${before.node}, and pool ${scoped.pool} is each node's own`,
        );
      const { idleSince: _over, expiresAt: _kept, ...rest } = before;
      return this.#turn(before, {
        ...rest,
        state: 'bound',
        node: this.node,
        wasBound: true,
        change: this.#newChange(),
      });
    }, signal);
  }

  /** It is on no interface any more: a fixed one stays its owner's, an ephemeral one is released, even if it never was on one. */
  unbind(owner: string, ifname: string, { epoch }: Fence = {}, signal?: AbortSignal): Promise<void> {
    return this.#changes.make(() => {
      const before = this.view.reservation(owner, ifname);
      const late = before?.node !== this.node || (epoch !== undefined && before.epoch !== epoch);
      if (late || (before.state !== 'bound' && before.policy === 'fixed')) return { writes: [], answer: undefined };
      const after: Reservation = { ...before, state: 'reserved', idleSince: this.#now(), change: this.#newChange() };
      return { ...this.#turn(before, before.policy === 'fixed' ? after : undefined), answer: undefined };
    }, signal);
  }

  /**
   * Gives back what an owner holds, on one interface or on all. Refused while one is bound, for a workload may use it;
   * `lost` says that its node is dead. Answers what was released.
   */
  release(
    owner: string,
    { ifname, epoch, lost = false }: Fence & { ifname?: string | undefined; lost?: boolean | undefined } = {},
    signal?: AbortSignal,
  ): Promise<Reservation[]> {
    return this.#changes.make(() => {
      const held = this.#held(owner, ifname);
      for (const one of held) this.#checkIdle(one, epoch, lost);
      return { writes: held.flatMap((before) => this.#writes(before, undefined)), answer: held };
    }, signal);
  }

  /**
   * Hands over what one owner holds to another, in one transaction that raises the epoch: whoever still acts for the first
   * owner is refused from then on. Repeatable while the new owner has it.
   */
  async transfer(
    from: string,
    to: string,
    { ifname, epoch, lost = false }: Fence & { ifname?: string | undefined; lost?: boolean | undefined } = {},
    signal?: AbortSignal,
  ): Promise<Reservation[]> {
    checkOwner(to);
    return this.#changes.make(() => {
      const held = this.#held(from, ifname);
      const there = this.#held(to, ifname);
      if (held.length === 0 && there.length > 0) return { writes: [], answer: there };
      if (held.length === 0)
        throw new EruError(
          'not_found',
          `${from} holds nothing${ifname === undefined ? '' : ` on ${ifname}`} that could go to ${to}`,
        );
      for (const one of held) this.#checkIdle(one, epoch, lost);
      const clash = held.find((one) => this.view.reservation(to, one.ifname) !== undefined);
      if (clash !== undefined)
        throw new EruError('exists', `${to} holds something on ${clash.ifname} already; release that first`);
      const change = this.#newChange();
      const after = held.map((before): Reservation => {
        const { expiresAt: _kept, ...rest } = before;
        return { ...rest, owner: to, state: 'reserved', idleSince: this.#now(), epoch: before.epoch + 1, change };
      });
      return { writes: held.flatMap((before, index) => this.#writes(before, after[index])), answer: after };
    }, signal);
  }

  /** Ends what has ended by itself: expired and long idle reservations, quarantines, empty blocks of this node. */
  sweep(signal?: AbortSignal): Promise<Swept> {
    return sweep(
      this.view,
      this.#changes,
      { node: this.node, now: this.#now(), writes: (before) => this.#writes(before, undefined) },
      signal,
    );
  }

  /** Whether somebody could reserve now. @throws EruError `no_capacity` of a family whose pools are full, or what the store says */
  async probe(pools: readonly string[], signal?: AbortSignal): Promise<void> {
    await this.#options.store.get(keys.node(this.node), signal === undefined ? {} : { signal });
    const compiled = pools.map((name) => this.#pool(name));
    for (const family of [4, 6] as const) {
      const candidates = compiled.filter(({ cidr }) => cidr.family === family);
      if (candidates.length > 0) this.#picker.automatic(candidates, this.#now());
    }
  }

  /** How often each pool was found full. */
  get exhausted(): ReadonlyMap<string, number> {
    return this.#picker.exhausted;
  }

  close(): void {
    this.#stop.abort();
  }

  #reserve(request: ReserveRequest): Change<Reservation> {
    const { owner, ifname, kind, network, policy = 'fixed', ports = [], expiresInMs, bind = false } = request;
    const ips = (request.ips ?? []).map((ip) => canonical('ip', ip));
    const existing = this.view.reservation(owner, ifname);
    if (existing !== undefined) return this.#again(existing, request, ips);
    const pools = request.pools.map((name) => this.#pool(name));
    const picked: Picked[] = ips.map((ip) => this.#picker.pinned(pools, ip));
    const had = new Set(ips.map(familyOf));
    if (had.size < ips.length)
      throw new EruError('invalid', `ips: ${ips.join(', ')}: one address of a family is what an interface gets`);
    for (const family of [4, 6] as const) {
      const candidates = pools.filter(({ cidr }) => cidr.family === family);
      if (!had.has(family) && candidates.length > 0) picked.push(this.#picker.automatic(candidates, this.#now()));
    }
    const mac = macOf(request, () => this.#newMac());
    const after: Reservation = {
      owner,
      ifname,
      kind,
      network,
      addresses: picked.map(({ answer }) => answer),
      ...(mac !== undefined && { mac }),
      ports: pickPorts(this.view, this.node, ports, this.#options.random),
      pinned: ips.length > 0,
      policy,
      state: bind ? 'bound' : 'reserved',
      node: this.node,
      epoch: 1,
      wasBound: bind,
      createdAt: this.#now(),
      ...(!bind && { idleSince: this.#now() }),
      ...(expiresInMs !== undefined && { expiresAt: this.#now() + expiresInMs }),
      change: this.#newChange(),
    };
    return {
      writes: [...this.#writes(undefined, after), ...picked.flatMap(({ writes }) => writes)],
      guards: [...new Set(picked.flatMap(({ guards }) => guards))],
      answer: after,
    };
  }

  /** A reservation is asked for that is there. Ports may be others than before; the rest must be as asked. */
  #again(existing: Reservation, { ports, mac, network }: ReserveRequest, ips: readonly string[]): Change<Reservation> {
    const { owner, ifname, addresses } = existing;
    const refuse = (what: string): EruError =>
      new EruError(
        'exists',
        `${owner} (${ifname}) holds ${what}; release it, or transfer it, before asking for another`,
      );
    const held = addresses.map(({ ip }) => ip);
    if (existing.network !== network) throw refuse(`addresses of network ${existing.network}`);
    if (!ips.every((ip) => held.includes(ip))) throw refuse(held.join(', '));
    if (mac !== undefined && mac !== 'auto' && mac.toLowerCase() !== existing.mac)
      throw refuse(`MAC ${existing.mac ?? 'none'}`);
    if (ports === undefined || samePorts(existing, ports)) return { writes: [], answer: existing };
    if (existing.state === 'bound')
      throw new EruError('precondition', `${owner} (${ifname}) is bound: its ports cannot change now; stop it first`);
    const without = { ...existing, ports: [] };
    const wanted = pickPorts(this.view, existing.node, ports, this.#options.random, existing);
    const { writes } = this.#turn(existing, { ...without, ports: wanted, change: this.#newChange() });
    return { writes, answer: { ...existing, ports: wanted } };
  }

  /** Two pools with an address in common would give it to two owners. What is each node's own may be anywhere. */
  #checkApart({ definition, cidr }: Pool): void {
    const other = [...this.view.pools()].find(
      (known) =>
        known.cidr.family === cidr.family &&
        known.cidr.first <= cidr.last &&
        known.cidr.last >= cidr.first &&
        (known.definition.scope === 'cluster' || definition.scope === 'cluster'),
    );
    if (other !== undefined)
      throw new EruError(
        'exists',
        `pool ${definition.name}: ${definition.cidr} has addresses in common with pool ${other.definition.name} (${other.definition.cidr}); take another subnet`,
      );
  }

  #turn(before: Reservation, after: Reservation | undefined): Change<Reservation> {
    return { writes: this.#writes(before, after), answer: after ?? before };
  }

  #writes(before: Reservation | undefined, after: Reservation | undefined): Write[] {
    const rest: Rest = {
      now: this.#now(),
      change: this.#newChange(),
      quarantineMs: (pool) => this.view.pool(pool)?.definition.quarantineMs ?? 0,
    };
    return reservationWrites(this.view, before, after, rest);
  }

  #wanted(owner: string, ifname: string, epoch: number | undefined): Reservation {
    const found = this.view.reservation(owner, ifname);
    if (found === undefined) throw new EruError('not_found', `${owner} holds nothing on ${ifname}; reserve it first`);
    this.#checkEpoch(found, epoch);
    return found;
  }

  #held(owner: string, ifname: string | undefined): Reservation[] {
    return this.view.reservations(owner).filter((one) => ifname === undefined || one.ifname === ifname);
  }

  #checkIdle(one: Reservation, epoch: number | undefined, lost: boolean): void {
    this.#checkEpoch(one, epoch);
    if (one.state === 'bound' && !lost)
      throw new EruError(
        'precondition',
        `${one.owner} (${one.ifname}) is bound on node ${one.node}; stop the workload first, or say that the node is lost`,
      );
  }

  #checkEpoch({ owner, ifname, epoch: current }: Reservation, epoch: number | undefined): void {
    if (epoch !== undefined && epoch !== current)
      throw new EruError('fenced', `${owner} (${ifname}) was handed over: its epoch is ${current}, not ${epoch}`);
  }

  #pool(name: string): Pool {
    const pool = this.view.pool(name);
    if (this.view.get<PoolRecord>(keys.pool(name))?.draining === true)
      throw new EruError('precondition', `pool ${name} is being removed`);
    if (pool !== undefined) return pool;
    const known = [...this.view.pools()].map(({ definition }) => definition.name);
    throw new EruError('not_found', `there is no pool ${name}; there are: ${known.join(', ') || 'none'}`);
  }

  /** Locally administered, unicast. */
  #newMac(): string {
    for (;;) {
      const digits = `02${this.#options.random.hex(10)}`;
      const mac = digits.replace(/..(?!$)/g, '$&:');
      if (this.view.revisionOf(keys.mac(mac)) === 0) return mac;
    }
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #newChange(): string {
    return this.#options.random.hex(12);
  }
}

function familyOf(ip: string): Family {
  return ip.includes(':') ? 6 : 4;
}

function macOf({ mac }: ReserveRequest, choose: () => string): string | undefined {
  if (mac === undefined) return undefined;
  return mac === 'auto' ? choose() : checkMac('mac', mac);
}

function samePorts({ ports }: Reservation, wanted: readonly PortRequest[]): boolean {
  if (ports.length !== wanted.length) return false;
  return wanted.every(({ protocol = 'tcp', hostPort = 0, containerPort, hostIp = '' }) =>
    ports.some(
      (port) =>
        port.protocol === protocol &&
        port.containerPort === containerPort &&
        port.hostIp === hostIp &&
        (hostPort === 0 || hostPort === port.hostPort),
    ),
  );
}

function checkOwner(owner: string): void {
  checkName('owner', owner);
}
