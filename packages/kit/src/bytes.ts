import { invalid } from './error.ts';

const units = 'bkmgtp';

/**
 * A size as people write it: plain bytes, or a decimal number with `k`, `m`, `g`, `t`, `p` (base 1024), optionally
 * followed by `b` or `ib`, any case; a leading `-` where increments make sense (reference/scheduling.md section 1.1).
 */
export function parseSize(text: string, field = 'size'): number {
  if (text === '') return 0;
  const match = /^(-?)(\d+(?:\.\d+)?)\s*(?:([bkmgtp])(?:i?b)?)?$/i.exec(text.trim());
  if (match === null) throw invalid(field, text, 'write bytes or a number with K, M, G, T or P, such as 512M');
  const [, sign, digits, unit] = match;
  const bytes = Math.round(Number(digits) * 1024 ** Math.max(0, units.indexOf((unit ?? 'b').toLowerCase())));
  if (!Number.isSafeInteger(bytes)) throw invalid(field, text, 'the largest size is 8P');
  return sign === '-' ? -bytes : bytes;
}

/** The shortest exact-enough form: `64M`, `1.5G`, `300`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = Number.isInteger(value) ? String(value) : value.toFixed(1);
  return unit === 0 ? digits : digits + units.charAt(unit).toUpperCase();
}

/** `30s`, `5m`, `1h30m`, `250ms` (Go's form), or a plain number of seconds; in milliseconds. */
export function parseDuration(text: string | number, field = 'duration'): number {
  if (typeof text === 'number') return text * 1000;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const factor: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) throw invalid(field, text, 'write a duration such as 30s, 5m or 250ms');
  let total = 0;
  for (const [, digits, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    total += Number(digits) * (factor[unit as string] ?? 0);
  return total;
}

/** A 64-bit integer of the wire as a number; throws above 2^53, where a double stops being exact. */
export function toSafeNumber(value: bigint, field = 'value'): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalid(field, value, 'the largest exact integer here is 2^53 - 1');
  return number;
}
