import { invalid } from '@eru/kit';

import type { KeyRange } from './store.ts';

/**
 * Keys are ordered by their UTF-8 bytes, JavaScript compares UTF-16 units. Inside the engine a key is therefore a *byte
 * string*, one character for each byte, whose order is the order of the bytes; for ASCII keys it is the key itself.
 */
export type ByteKey = string;

/** LMDB's limit is 1978 bytes; ours leaves room for what the engine puts in front. The same on every backend. */
const maxKeyBytes = 1024;

export function toByteKey(key: string): ByteKey {
  return isAscii(key) ? key : Buffer.from(key, 'utf8').toString('latin1');
}

export function fromByteKey(bytes: ByteKey): string {
  return isAscii(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}

/** [start, end); no end means all that follow. */
export interface Interval {
  start: ByteKey;
  end: ByteKey | undefined;
}

export function intervalOf(range: KeyRange): Interval {
  if ('key' in range) {
    const start = toByteKey(range.key);
    return { start, end: `${start}\0` };
  }
  if ('prefix' in range) {
    const start = toByteKey(range.prefix);
    return { start, end: afterPrefix(start) };
  }
  return { start: toByteKey(range.start), end: toByteKey(range.end) };
}

export function contains(interval: Interval, key: ByteKey): boolean {
  return key >= interval.start && (interval.end === undefined || key < interval.end);
}

/** The first byte string after all that begin with `prefix`; undefined when there is none. */
export function afterPrefix(prefix: ByteKey): ByteKey | undefined {
  for (let length = prefix.length; length > 0; length--) {
    const last = prefix.charCodeAt(length - 1);
    if (last < 0xff) return prefix.slice(0, length - 1) + String.fromCharCode(last + 1);
  }
  return undefined;
}

export function checkKey(key: string, field: string): void {
  if (key === '') throw invalid(field, key, 'a key has at least one byte');
  checkText(key, field);
}

/** Also for prefixes and bounds, which may be empty. */
export function checkText(text: string, field: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalid(field, text, 'a key is well-formed Unicode');
  if (Buffer.byteLength(text) > maxKeyBytes)
    throw invalid(field, `${text.slice(0, 40)}…`, `a key has at most ${maxKeyBytes} bytes`);
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 0x7f) return false;
  return true;
}
