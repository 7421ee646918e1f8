import { isJsonObject, type Json, type JsonObject } from '@eru/kit';

// The other side is mostly Go: 64-bit integers, and field names in any case.

/** What "unlimited" is on the wire; `Infinity` here. */
const largest = '9223372036854775807';
const smallest = '-9223372036854775808';

/**
 * A number as Go's integers read it: no exponent and no fraction where it is an integer, saturated at 64 bits. What came
 * in above 2^53 has lost its last digits, and 2^63 - 1 would go out as 2^63, which Go refuses.
 */
function encodeNumber(value: number): string {
  if (Number.isNaN(value)) return 'null';
  if (value >= 2 ** 63) return largest;
  if (value < -(2 ** 63)) return smallest;
  return Number.isInteger(value) ? String(BigInt(value)) : JSON.stringify(value);
}

/** JSON text of a value in which `Infinity` stands for unlimited. */
export function encode(value: unknown): string {
  if (typeof value === 'number') return encodeNumber(value);
  if (Array.isArray(value)) return `[${value.map(encode).join(',')}]`;
  if (!isJsonObject(value)) return value === undefined ? 'null' : JSON.stringify(value);
  const fields = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${encode(inner)}`).join(',')}}`;
}

/** A field by its name: the exact one, else one that differs in case only. */
export function field(object: JsonObject, name: string): Json | undefined {
  if (Object.hasOwn(object, name)) return object[name];
  const wanted = name.toLowerCase();
  const key = Object.keys(object).find((candidate) => candidate.toLowerCase() === wanted);
  return key === undefined ? undefined : object[key];
}
