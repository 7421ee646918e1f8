import { EruError } from '@eru/kit';
import { z } from 'zod';

import { checked } from '../checked.ts';
import type { Address, Cidr, Family } from './address.ts';
import { cidrAt, contains, formatAddress, formatCidr, parseAddress, parseCidr } from './address.ts';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'write letters, digits, _, . and -, at most 63');

/** What people write of a pool. */
export const poolSchema = z.strictObject({
  name,
  cidr: z.string(),
  /** Never given out; the first address of the network where none is said. */
  gateway: z.string().optional(),
  /** Automatic addresses come from these only, `FIRST-LAST`; pinned ones may lie outside. */
  ranges: z.array(z.string()).optional(),
  /** Never given out: addresses or networks. */
  exclude: z.array(z.string()).optional(),
  /** Prefix length of the blocks that nodes take their addresses from. */
  blockSize: z.int().optional(),
  /** `cluster`: one owner per address on all nodes. `node`: each node has the whole network for itself. */
  scope: z.enum(['cluster', 'node']).default('cluster'),
  /** A node whose blocks are full does not take from those of others. */
  strict: z.boolean().default(false),
  /** How long a released address rests, so that nobody's ARP or conntrack entry finds another workload there. */
  quarantineMs: z.int().min(0).default(30_000),
  /** A fixed address that nobody has bound for so long is released; by default it stays for ever. */
  idleMs: z.int().min(1).optional(),
});

export type PoolDefinition = z.infer<typeof poolSchema>;

/** Both ends included. */
export interface Interval {
  readonly first: bigint;
  readonly last: bigint;
}

/** A definition made ready to allocate from. */
export interface Pool {
  readonly definition: PoolDefinition;
  readonly cidr: Cidr;
  readonly gateway: Address;
  /** What may be given out automatically, ascending. */
  readonly intervals: readonly Interval[];
  /** How many addresses these are. */
  readonly capacity: bigint;
  /** What nobody may have: network, broadcast, gateway, excludes. */
  readonly barred: readonly Interval[];
  readonly blockPrefix: number;
}

const blockPrefixes: Readonly<Record<Family, number>> = { 4: 26, 6: 122 };
const lengths: Readonly<Record<Family, number>> = { 4: 32, 6: 128 };

/** @throws EruError `invalid` that names the field */
export function compilePool(value: unknown): Pool {
  const definition = checked(poolSchema, value, 'pool');
  const where = `pool ${definition.name}`;
  const cidr = parseCidr(`${where}: cidr`, definition.cidr);
  const inside = (field: string, address: Address): Address => {
    if (contains(cidr, address)) return address;
    throw new EruError('invalid', `${where}: ${field}: ${formatAddress(address)} is not in ${definition.cidr}`);
  };
  const length = lengths[cidr.family];
  const ends = cidr.prefix < length - 1;
  const gateway =
    definition.gateway === undefined
      ? { family: cidr.family, value: ends ? cidr.first + 1n : cidr.first }
      : inside('gateway', parseAddress(`${where}: gateway`, definition.gateway));
  const barred: Interval[] = [{ first: gateway.value, last: gateway.value }];
  if (ends) barred.push({ first: cidr.first, last: cidr.first });
  if (ends && cidr.family === 4) barred.push({ first: cidr.last, last: cidr.last });
  for (const text of definition.exclude ?? []) {
    const { family, first, last } = parseCidr(`${where}: exclude`, text.includes('/') ? text : `${text}/${length}`);
    inside('exclude', { family, value: first });
    barred.push({ first, last });
  }
  const ranges = definition.ranges?.map((text) => {
    const [from = '', to = '', ...more] = text.split('-');
    const first = inside('ranges', parseAddress(`${where}: ranges`, from.trim())).value;
    const last = inside('ranges', parseAddress(`${where}: ranges`, to.trim())).value;
    if (last < first || more.length > 0)
      throw new EruError('invalid', `${where}: ranges: write FIRST-LAST, not ${text}`);
    return { first, last };
  });
  const intervals = without(merge(ranges ?? [cidr]), merge(barred));
  const capacity = intervals.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
  if (capacity === 0n) throw new EruError('invalid', `${where}: no address is left to give out`);
  const blockPrefix = definition.blockSize ?? Math.max(cidr.prefix, blockPrefixes[cidr.family]);
  if (blockPrefix < cidr.prefix || blockPrefix > length)
    throw new EruError(
      'invalid',
      `${where}: blockSize: ${blockPrefix} is not allowed; write ${cidr.prefix} to ${length}`,
    );
  return { definition, cidr, gateway, intervals, capacity, barred, blockPrefix };
}

/** The block that an address is in. */
export function blockAt({ cidr, blockPrefix }: Pool, value: bigint): Cidr {
  return cidrAt({ family: cidr.family, value }, blockPrefix);
}

/** Whether somebody may ask for this very address. @throws EruError `invalid` that says why not */
export function checkPinned(pool: Pool, address: Address): void {
  const refuse = (why: string): EruError =>
    new EruError('invalid', `${formatAddress(address)} cannot be had from pool ${pool.definition.name}: ${why}`);
  if (address.value === pool.gateway.value && address.family === pool.cidr.family) throw refuse('it is the gateway');
  if (pool.barred.some(({ first, last }) => address.value >= first && address.value <= last))
    throw refuse(`it is excluded, or an end of ${formatCidr(pool.cidr)}`);
}

/**
 * The first address after `after` within `bounds` that `free` agrees to, from the lowest again when there is none: an
 * address that was given back rests as long as possible. Costs a step for each address in between that is taken.
 */
export function nextFree(
  pool: Pool,
  bounds: Interval,
  after: bigint | undefined,
  free: (value: bigint) => boolean,
): bigint | undefined {
  const parts = pool.intervals
    .map(({ first, last }) => ({ first: max(first, bounds.first), last: min(last, bounds.last) }))
    .filter(({ first, last }) => first <= last);
  const search = (from: bigint, to: bigint): bigint | undefined => {
    for (const { first, last } of parts) {
      for (let value = max(first, from); value <= last && value <= to; value++) if (free(value)) return value;
    }
    return undefined;
  };
  if (after === undefined || after < bounds.first) return search(bounds.first, bounds.last);
  return search(after + 1n, bounds.last) ?? search(bounds.first, after);
}

/** Blocks that hold anything to give out, ascending. */
export function* blocks(pool: Pool): Iterable<Cidr> {
  let done = -1n;
  for (const { first, last } of pool.intervals) {
    let block = blockAt(pool, max(first, done + 1n));
    while (block.first <= last) {
      if (block.last > done) yield block;
      done = block.last;
      block = blockAt(pool, block.last + 1n);
    }
  }
}

function merge(intervals: readonly Interval[]): Interval[] {
  const merged: { first: bigint; last: bigint }[] = [];
  for (const { first, last } of intervals.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1n) before.last = max(before.last, last);
    else merged.push({ first, last });
  }
  return merged;
}

function without(intervals: readonly Interval[], holes: readonly Interval[]): Interval[] {
  return intervals.flatMap(({ first, last }) => {
    const left: Interval[] = [];
    let from = first;
    for (const hole of holes) {
      if (hole.last < from || hole.first > last) continue;
      if (hole.first > from) left.push({ first: from, last: hole.first - 1n });
      from = hole.last + 1n;
    }
    if (from <= last) left.push({ first: from, last });
    return left;
  });
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
