import { isJsonObject, type Json, type JsonObject } from '@eru/kit';

// Readers of the original's free-form parameters (reference/scheduling.md section 1.1): a missing key or a bad value is
// zero or empty, never an error. What must be an error is checked afterwards, on the values.

/** A JSON number or its text; cut to the 9 decimals in which CPU is counted. */
export function readFloat(raw: JsonObject, key: string): number {
  const value = Number(printed(raw[key]));
  return Number.isFinite(value) ? round9(value) : 0;
}

/** Numbers are rounded; text must be a base 10 integer (`"1G"` is 0). */
export function readInteger(raw: JsonObject, key: string): number {
  const value = raw[key];
  if (typeof value === 'number') return Math.round(value);
  const text = printed(value);
  return /^[+-]?\d+$/.test(text) ? Number(text) : 0;
}

/** Anything that is set and not a boolean counts as true, `null` and `"false"` too. */
export function readBoolean(raw: JsonObject, key: string): boolean {
  const value = raw[key];
  return value !== undefined && value !== false;
}

/** A list's text elements. */
export function readTexts(raw: JsonObject, key: string): string[] {
  const value = raw[key];
  return Array.isArray(value) ? value.filter((element) => typeof element === 'string') : [];
}

/** An object of numbers, such as pieces per core; other values are dropped. */
export function readAmounts(raw: JsonObject, key: string): Record<string, number> {
  const amounts: Record<string, number> = {};
  for (const [name, value] of Object.entries(readObject(raw, key))) {
    if (typeof value === 'number') amounts[name] = value;
  }
  return amounts;
}

export function readObject(raw: JsonObject, key: string): JsonObject {
  const value = raw[key];
  return isJsonObject(value) ? value : {};
}

/** CPU is exact to 9 decimals: without this, 0.1 + 0.2 would leave dust in a node's usage for ever. */
export function round9(value: number): number {
  const rounded = Math.round(value * 1e9) / 1e9;
  return rounded === 0 ? 0 : rounded;
}

/** The original's "safe division": 0 if either side is 0. */
export function share(part: number, whole: number): number {
  return part === 0 || whole === 0 ? 0 : part / whole;
}

function printed(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value).trim() : '';
}
