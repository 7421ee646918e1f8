import { isIP } from 'node:net';

import { invalid } from '@eru/kit';

export type Family = 4 | 6;

/** An address as a number, big-endian. */
export interface Address {
  readonly family: Family;
  readonly value: bigint;
}

/** `first` has no host bits. */
export interface Cidr {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
  readonly prefix: number;
}

const bits = { 4: 32, 6: 128 } as const;

export function parseAddress(field: string, text: string): Address {
  const family = isIP(text);
  if (family === 4) return { family, value: text.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n) };
  if (family === 6 && !text.includes('%')) return { family, value: parseSix(text) };
  throw invalid(field, text, 'write an address such as 10.0.0.5 or fd00::5');
}

/** @throws EruError `invalid`, also when bits after the prefix are set: the author may have meant either */
export function parseCidr(field: string, text: string): Cidr {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const family = isIP(match?.[1] ?? '');
  const prefix = Number(match?.[2]);
  if (match === null || family === 0 || prefix > bits[family as Family])
    throw invalid(field, text, 'write a network such as 10.0.0.0/24 or fd00::/64');
  const { value } = parseAddress(field, match[1] as string);
  const cidr = cidrAt({ family: family as Family, value }, prefix);
  if (cidr.first !== value) throw invalid(field, text, `did you mean ${formatCidr(cidr)}?`);
  return cidr;
}

/** The network of this length that an address is in. */
export function cidrAt({ family, value }: Address, prefix: number): Cidr {
  const size = 1n << BigInt(bits[family] - prefix);
  const first = value - (value % size);
  return { family, first, last: first + size - 1n, prefix };
}

export function formatCidr({ family, first, prefix }: Cidr): string {
  return `${formatAddress({ family, value: first })}/${prefix}`;
}

export function contains(cidr: Cidr, { family, value }: Address): boolean {
  return family === cidr.family && value >= cidr.first && value <= cidr.last;
}

/** The shortest form (RFC 5952), so that one address has one text. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(16 * (7 - index))) & 0xffffn));
  const texts = groups.map((group) => group.toString(16));
  const gap = longestZeros(groups);
  if (gap === undefined) return texts.join(':');
  return `${texts.slice(0, gap.start).join(':')}::${texts.slice(gap.start + gap.length).join(':')}`;
}

/** The one text of an address, whatever way it was written. */
export function canonical(field: string, text: string): string {
  return formatAddress(parseAddress(field, text));
}

function longestZeros(groups: readonly number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > 1 && length > (best?.length ?? 0)) best = { start, length };
  }
  return best;
}

function parseSix(text: string): bigint {
  // The last 32 bits may be written as an IPv4 address.
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(2).map(Number);
    return parseSix(`${dotted[1]}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`);
  }
  const [before = '', after] = text.split('::');
  const groupsOf = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [head, tail] = [groupsOf(before), groupsOf(after ?? '')];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => '0');
  return [...head, ...zeros, ...tail].reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
}

/** Lower case. @throws EruError `invalid` for what is no MAC of one interface */
export function checkMac(field: string, text: string): string {
  const mac = text.toLowerCase();
  const good = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac) && mac !== '00:00:00:00:00:00';
  if (!good || (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1)
    throw invalid(field, text, 'write the MAC of one interface, such as 02:42:0a:08:00:05');
  return mac;
}
