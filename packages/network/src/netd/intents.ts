import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { Clock } from '@eru/kit';
import { EruError, isEruError, stableStringify } from '@eru/kit';
import type { Store } from '@eru/store';

import { KeyedLock } from '../cni/keyed-lock.ts';
import { checkInterfaceName, checkName } from '../cni/names.ts';
import type { Allocator } from '../ipam/allocator.ts';
import { decode, encode, type Reservation } from '../ipam/records.ts';
import type { DeclareRequest, Intent } from './intent.ts';
import { ownerOf } from './intent.ts';
import type { NetworkDefinition } from './network-definition.ts';
import type { InterfaceRequest } from './sandbox.ts';
import { nameInterfaces, reserveRequest } from './sandbox.ts';
import type { Sandboxes } from './sandboxes.ts';

const prefix = 'intents/';

/** Where a daemon with its state in this folder keeps a file for each declared container, also over a reboot. */
export function declaredFolder(folder: string): string {
  return path.join(path.resolve(folder), 'declared');
}

export interface IntentsOptions {
  local: Store;
  /** Gets a file for each declared container, so that a runtime need not ask a daemon whether one is ours. */
  folder: string;
  allocator: Allocator;
  sandboxes: Sandboxes;
  network: (name: string) => NetworkDefinition;
  clock: Clock;
}

/**
 * What this node's containers are to have on our networks, declared before they start and kept until they are removed:
 * their engine tells a runtime neither. A record is on disk before anything is reserved, and goes after all is released.
 */
export class Intents {
  readonly #options: IntentsOptions;
  readonly #known = new Map<string, Intent>();
  readonly #locks = new KeyedLock();
  /** Containers that are being forgotten: what they share with others they no longer keep. */
  readonly #leaving = new Set<string>();

  static async open(options: IntentsOptions): Promise<Intents> {
    const intents = new Intents(options);
    const { kvs } = await options.local.range({ prefix });
    for (const kv of kvs) {
      const intent = decode<Intent>(kv);
      intents.#known.set(intent.container, intent);
    }
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(options.folder)) if (!intents.#known.has(name)) await intents.#unmark(name);
    for (const name of intents.#known.keys()) await intents.#mark(name);
    return intents;
  }

  private constructor(options: IntentsOptions) {
    this.#options = options;
  }

  get(container: string): Intent | undefined {
    return this.#known.get(container);
  }

  list(): Intent[] {
    return [...this.#known.values()];
  }

  /**
   * Reserves what a container is to keep, or refuses and leaves nothing. Asked again for the same it answers what is there.
   * With `expiresInMs` the container is a temporary name, which is forgotten by itself unless `adopt` gives its real one.
   */
  declare(request: DeclareRequest, signal?: AbortSignal): Promise<Intent> {
    const { container, owner, expiresInMs } = request;
    return this.#locks.exclusive(container, async () => {
      checkName('container', container);
      if (owner !== undefined) checkName('owner', owner);
      const networks = this.#named(request.networks, []);
      const now = this.#options.clock.now();
      const { networks: _named, expiresInMs: _lease, ...rest } = request;
      const intent: Intent = {
        ...rest,
        networks,
        createdAt: now,
        ...(expiresInMs !== undefined && { expiresAt: now + expiresInMs }),
      };
      const before = this.#known.get(container);
      if (before !== undefined && wish(before) !== wish(intent))
        throw new EruError('exists', `${container} is declared already, otherwise; forget that first`);
      if (before === undefined) await this.#write(intent);
      await this.#reserveAll(before ?? intent, networks, before === undefined, signal);
      return before ?? intent;
    });
  }

  /** Gives a temporary name's declaration to the container that was created. Repeatable. */
  adopt(from: string, container: string, signal?: AbortSignal): Promise<Intent> {
    return this.#locks.exclusive(from, () =>
      this.#locks.exclusive(container, async () => {
        checkName('container', container);
        const temporary = this.#known.get(from);
        const there = this.#known.get(container);
        if (there !== undefined && (temporary === undefined || there.adopts === from))
          return there.adopts === undefined ? there : this.#finish(there, there.adopts, signal);
        if (temporary === undefined)
          throw new EruError('not_found', `${from} is not declared, or its time is over; declare it again`);
        if (there !== undefined) throw new EruError('exists', `${container} is declared already; forget that first`);
        const { expiresAt: _over, ...rest } = temporary;
        const intent = { ...rest, container, adopts: from };
        await this.#write(intent);
        return this.#finish(intent, from, signal);
      }),
    );
  }

  /** Ends what an earlier process left half done. */
  async recover(): Promise<void> {
    for (const intent of this.list()) if (intent.adopts !== undefined) await this.#finish(intent, intent.adopts);
  }

  async #finish(intent: Intent, from: string, signal?: AbortSignal): Promise<Intent> {
    const { allocator, local } = this.#options;
    const { adopts: _done, ...after } = intent;
    for (const { ifname } of allocator.view.reservations(from))
      await allocator.transfer(from, ownerOf(intent), { ifname }, signal);
    await local.txn({
      then: [
        { op: 'put', key: prefix + intent.container, value: encode(after) },
        { op: 'delete', range: { key: prefix + from } },
      ],
    });
    this.#known.delete(from);
    this.#known.set(intent.container, after);
    await this.#unmark(from);
    return after;
  }

  /** One more network for a container, or one less, now if it runs and at every start from now on. */
  amend(
    container: string,
    { add, remove }: { add?: InterfaceRequest | undefined; remove?: string | undefined },
    signal?: AbortSignal,
  ): Promise<Intent> {
    return this.#locks.exclusive(container, async () => {
      const { sandboxes, allocator } = this.#options;
      let intent = this.#wanted(container);
      if (remove !== undefined) {
        const gone = intent.networks.filter(({ ifname, network }) => ifname === remove || network === remove);
        await sandboxes.disconnect(container, remove);
        for (const { ifname } of gone) await this.#giveBack(ownerOf(intent), ifname, signal);
        intent = { ...intent, networks: intent.networks.filter((one) => !gone.includes(one)) };
        await this.#write(intent);
      }
      if (add !== undefined) {
        const known = intent.networks.find(({ network }) => network === add.network);
        if (known !== undefined && (add.ifname === undefined || add.ifname === known.ifname)) return intent;
        const used = intent.networks.map(({ ifname }) => ifname);
        const [wanted] = this.#named([add], used);
        if (wanted === undefined) return intent;
        if (used.includes(wanted.ifname))
          throw new EruError('exists', `${container} has an interface ${wanted.ifname} already`);
        const held = allocator.view.reservation(ownerOf(intent), wanted.ifname) !== undefined;
        await this.#reserveAll(intent, [wanted], false, signal);
        try {
          if (sandboxes.get(container)?.state === 'attached')
            await sandboxes.connect(container, wanted, intent.policy, signal);
        } catch (error) {
          if (!held) await this.#giveBack(ownerOf(intent), wanted.ifname, signal);
          throw error;
        }
        intent = { ...intent, networks: [...intent.networks, wanted] };
        await this.#write(intent);
      }
      return intent;
    });
  }

  /**
   * The container is removed: what is attached goes, what it held under its own name is released; what it held for an
   * owner of another name stays that owner's, unless it was declared to go too. Forgetting what is not declared is no error.
   */
  forget(container: string, signal?: AbortSignal): Promise<Reservation[]> {
    return this.#locks.exclusive(container, async () => {
      const { sandboxes, allocator } = this.#options;
      const intent = this.#known.get(container);
      if (intent === undefined) return [];
      this.#leaving.add(container);
      try {
        await sandboxes.detach(container, signal);
        const released = await allocator.release(container, {}, signal);
        if (intent.releasesOwner === true && !this.#hasOthers(intent))
          released.push(...(await allocator.release(ownerOf(intent), {}, signal)));
        await this.#remove(container);
        return released;
      } finally {
        this.#leaving.delete(container);
      }
    });
  }

  /** Whether its owner has other containers, such as the one that takes its place. */
  #hasOthers(intent: Intent): boolean {
    return this.list().some(
      (other) => ownerOf(other) === ownerOf(intent) && other !== intent && !this.#leaving.has(other.container),
    );
  }

  /** Temporary names whose time is over. */
  expired(): Intent[] {
    const now = this.#options.clock.now();
    return this.list().filter(({ expiresAt }) => expiresAt !== undefined && expiresAt <= now);
  }

  #named(requests: readonly InterfaceRequest[], used: readonly string[]): Intent['networks'] {
    const networks = nameInterfaces(requests, used);
    for (const { network, ifname } of networks) {
      this.#options.network(network);
      checkInterfaceName('ifname', ifname);
    }
    if (new Set(networks.map(({ ifname }) => ifname)).size < networks.length)
      throw new EruError('invalid', 'networks: two interfaces have the same ifname');
    return networks;
  }

  /** Only what is kept over a stop is reserved before the start: the rest has its address while it runs. */
  async #reserveAll(
    intent: Intent,
    networks: Intent['networks'],
    fresh: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { container, policy, expiresAt } = intent;
    const { allocator, network, clock } = this.#options;
    const made: { owner: string; ifname: string }[] = [];
    try {
      for (const wanted of policy === 'fixed' ? networks : []) {
        const { ifname } = wanted;
        const definition = network(wanted.network);
        if (definition.pools.length === 0) continue;
        const held = allocator.view.reservation(ownerOf(intent), ifname) !== undefined;
        // Until it is adopted, what is new belongs to the temporary name alone.
        const owner = expiresAt === undefined || held ? ownerOf(intent) : container;
        const expiresInMs = owner === container && expiresAt !== undefined ? expiresAt - clock.now() : undefined;
        if (!held) made.push({ owner, ifname });
        const request = {
          ...reserveRequest(definition, { owner, kind: 'container' as const, policy }, wanted),
          ...(expiresInMs !== undefined && { expiresInMs: Math.max(1, expiresInMs) }),
        };
        await allocator.reserve(request, signal).catch(async (error: unknown) => {
          if (!held || intent.releasesOwner !== true || !isEruError(error, 'exists')) throw error;
          // What takes another's place may ask for something else; what stands idle for that one is given back.
          await this.#giveBack(owner, ifname, signal);
          return allocator.reserve(request, signal);
        });
      }
    } catch (error) {
      // Even when the caller has left.
      for (const { owner, ifname } of made) await this.#giveBack(owner, ifname);
      if (fresh) await this.#remove(container);
      throw error;
    }
  }

  #giveBack(owner: string, ifname: string, signal?: AbortSignal): Promise<unknown> {
    return this.#options.allocator.release(owner, { ifname }, signal);
  }

  #wanted(container: string): Intent {
    const intent = this.#known.get(container);
    if (intent === undefined) throw new EruError('not_found', `${container} is not declared here`);
    return intent;
  }

  async #write(intent: Intent): Promise<void> {
    const { container } = intent;
    await this.#mark(container);
    await this.#options.local.txn({ then: [{ op: 'put', key: prefix + container, value: encode(intent) }] });
    this.#known.set(container, intent);
  }

  async #remove(container: string): Promise<void> {
    await this.#options.local.txn({ then: [{ op: 'delete', range: { key: prefix + container } }] });
    this.#known.delete(container);
    await this.#unmark(container);
  }

  /** It is there whenever the record is. */
  async #mark(container: string): Promise<void> {
    await writeFile(path.join(this.#options.folder, container), '');
  }

  async #unmark(container: string): Promise<void> {
    await rm(path.join(this.#options.folder, container), { force: true });
  }
}

/** What was asked, apart from when. */
function wish({ createdAt: _then, expiresAt: _lease, adopts: _half, ...asked }: Intent): string {
  return stableStringify(asked);
}
