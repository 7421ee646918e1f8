import { EruError } from '@eru/kit';

import type { Address, Cidr, Family } from './address.ts';
import { contains, formatAddress, formatCidr, parseAddress } from './address.ts';
import type { Change } from './change.ts';
import type { Interval, Pool } from './pool.ts';
import { blocks, checkPinned, nextFree } from './pool.ts';
import type { BlockRecord, HeldAddress } from './records.ts';
import { keys } from './records.ts';
import { realmOf } from './reservation-writes.ts';
import type { NetworkView } from './view.ts';

/** An address, and what must be written and hold for taking it. */
export type Picked = Required<Change<HeldAddress>>;

/** Chooses addresses for one node on the view. What it chooses may be gone already; the transaction tells. */
export class AddressPicker {
  readonly #view: NetworkView;
  readonly #node: string;
  /** The last one given out, per realm and block. */
  readonly #last = new Map<string, bigint>();
  /** The own block that had room last, per realm. */
  readonly #lastBlock = new Map<string, { block: Cidr; key: string }>();
  /** Pools and blocks of them in which each address was taken, so that they are not looked through again for each reservation. */
  readonly #full = new Map<string, { pool: Pool; freed: number; until: number }>();
  /** How often a pool was found full: a counter. */
  readonly exhausted = new Map<string, number>();

  constructor(view: NetworkView, node: string) {
    this.#view = view;
    this.#node = node;
  }

  /** @throws EruError `invalid` for an address that nobody may have, or that is in none of these pools */
  pinned(pools: readonly Pool[], text: string): Picked {
    const address = parseAddress('ip', text);
    const pool = pools.find(({ cidr }) => contains(cidr, address));
    if (pool === undefined)
      throw new EruError(
        'invalid',
        `ip: ${text} is in none of the network's pools: ${pools.map(({ cidr }) => formatCidr(cidr)).join(', ')}`,
      );
    checkPinned(pool, address);
    return this.#picked(pool, address);
  }

  /** From the first of these pools that has room. @throws EruError `no_capacity` */
  automatic(pools: readonly Pool[], now: number): Picked {
    for (const pool of pools) {
      const picked = this.#from(pool, now);
      if (picked !== undefined) return picked;
    }
    for (const { definition } of pools)
      this.exhausted.set(definition.name, (this.exhausted.get(definition.name) ?? 0) + 1);
    throw new EruError('no_capacity', pools.map((pool) => this.#fullness(pool, now)).join('; '), {
      details: { pools: pools.map(({ definition }) => definition.name) },
    });
  }

  #from(pool: Pool, now: number): Picked | undefined {
    const { definition, cidr } = pool;
    const realm = realmOf(this.#view, definition.name, this.#node);
    const taken = this.#view.taken(realm);
    const freed = this.#view.freed(realm);
    const search = (bounds: Interval, block?: { key: string; claim: boolean }): Picked | undefined => {
      const cursor = `${realm}/${bounds.first}`;
      const full = this.#full.get(cursor);
      if (full?.pool === pool && full.freed === freed && now < full.until) return undefined;
      let until = Number.POSITIVE_INFINITY;
      const value = nextFree(pool, bounds, this.#last.get(cursor), (candidate) => {
        const record = taken.get(candidate)?.record;
        if (record?.state !== 'quarantined') return record === undefined;
        until = Math.min(until, record.until);
        return record.until <= now;
      });
      if (value === undefined) {
        this.#full.set(cursor, { pool, freed, until });
        return undefined;
      }
      this.#last.set(cursor, value);
      const { answer } = this.#picked(pool, { family: cidr.family, value });
      const guards = [keys.pool(definition.name)];
      if (block === undefined) return { answer, writes: [], guards };
      if (!block.claim) return { answer, writes: [], guards: [...guards, block.key] };
      return { answer, writes: [{ key: block.key, record: this.#claim(bounds as Cidr) }], guards };
    };
    if (definition.scope === 'node') return search(cidr);
    const claimed = this.#view.blocks(definition.name);
    // Blocks fill up one after the other: the one that had room has it mostly still.
    const lastBlock = this.#lastBlock.get(realm);
    if (lastBlock !== undefined && claimed.get(lastBlock.block.first)?.record.node === this.#node) {
      const picked = search(lastBlock.block, { key: lastBlock.key, claim: false });
      if (picked !== undefined) return picked;
    }
    const found = (block: Cidr, key: string, claim: boolean): Picked | undefined => {
      const picked = search(block, { key, claim });
      if (picked !== undefined) this.#lastBlock.set(realm, { block, key });
      return picked;
    };
    const others: { block: Cidr; key: string }[] = [];
    for (const [first, { record }] of claimed) {
      const block = {
        family: cidr.family,
        first,
        last: first + (1n << BigInt(bitsOf(cidr.family) - pool.blockPrefix)) - 1n,
        prefix: pool.blockPrefix,
      };
      const key = this.#blockKey(pool, block);
      if (record.node !== this.#node) others.push({ block, key });
      else {
        const picked = found(block, key, false);
        if (picked !== undefined) return picked;
      }
    }
    for (const block of blocks(pool)) {
      if (claimed.has(block.first)) continue;
      const picked = found(block, this.#blockKey(pool, block), true);
      if (picked !== undefined) return picked;
    }
    if (definition.strict) return undefined;
    for (const { block, key } of others) {
      const picked = search(block, { key, claim: false });
      if (picked !== undefined) return picked;
    }
    return undefined;
  }

  #picked(pool: Pool, address: Address): Picked {
    const { name } = pool.definition;
    return { answer: { pool: name, ip: formatAddress(address) }, writes: [], guards: [keys.pool(name)] };
  }

  #claim(block: Cidr): BlockRecord {
    return { node: this.#node, cidr: formatCidr(block) };
  }

  #blockKey({ definition }: Pool, { family, first }: Cidr): string {
    return keys.block(definition.name, formatAddress({ family, value: first }));
  }

  #fullness(pool: Pool, now: number): string {
    const { name, strict, cidr } = pool.definition;
    const records = [...this.#view.taken(realmOf(this.#view, name, this.#node)).values()].map(({ record }) => record);
    const held = records.filter(({ state }) => state === 'held').length;
    const resting = records.flatMap((record) =>
      record.state === 'quarantined' && record.until > now ? [record.until] : [],
    );
    const next =
      resting.length === 0 ? '' : `, the next of them free in ${Math.ceil((Math.min(...resting) - now) / 1000)} s`;
    const blocked = strict ? ' or in blocks of other nodes (strict)' : '';
    return `pool ${name} (${cidr}) is full: of ${pool.capacity} addresses ${held} are held, ${resting.length} rest after their release${next}${blocked}; release some, or widen it`;
  }
}

export function bitsOf(family: Family): number {
  return family === 4 ? 32 : 128;
}
