import { isJsonObject, stableStringify, type Json, type JsonObject } from '@eru/kit';

// Resources of any kind as amounts: every number in the JSON is one, wherever it stands. In a list of objects, those of equal
// text (`"device":"sda"`) are the same thing. All else is no amount.

/** Amounts that are added, or subtracted; of what is no amount, adding takes the new and subtracting keeps the old. */
export function combine(left: JsonObject, right: JsonObject, sign: 1 | -1): JsonObject {
  const sum: JsonObject = { ...left };
  for (const [key, value] of Object.entries(right)) sum[key] = combineLeaf(left[key], value, sign);
  return sum;
}

function combineLeaf(left: Json | undefined, right: Json, sign: 1 | -1): Json {
  if (typeof right === 'number') return round9((typeof left === 'number' ? left : 0) + sign * right);
  if (isJsonObject(right)) return combine(isJsonObject(left) ? left : {}, right, sign);
  if (isThings(right)) return combineThings(isThings(left) ? left : [], right, sign);
  return sign === 1 && right !== null ? right : (left ?? null);
}

function combineThings(left: readonly JsonObject[], right: readonly JsonObject[], sign: 1 | -1): JsonObject[] {
  const sum = new Map(left.map((thing) => [identity(thing), thing]));
  for (const thing of right) {
    const known = sum.get(identity(thing)) ?? (sign === 1 ? {} : withoutAmounts(thing));
    sum.set(identity(thing), combine(known, thing, sign));
  }
  return [...sum.values()];
}

function isThings(value: Json | undefined): value is JsonObject[] {
  return Array.isArray(value) && value.length > 0 && value.every(isJsonObject);
}

function identity(thing: JsonObject): string {
  return stableStringify(Object.fromEntries(Object.entries(thing).filter(([, value]) => typeof value === 'string')));
}

function withoutAmounts(thing: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(thing).filter(([, value]) => typeof value !== 'number'));
}

/** What must be added to the old amounts to get the new ones. */
export function difference(now: JsonObject, old: JsonObject): JsonObject {
  return combine(now, amountsOf(old), -1);
}

/** Without what is no amount and names none. */
function amountsOf(resources: JsonObject): JsonObject {
  const amounts: JsonObject = {};
  for (const [key, value] of Object.entries(resources)) {
    if (typeof value === 'number') amounts[key] = value;
    else if (isJsonObject(value)) amounts[key] = amountsOf(value);
    else if (isThings(value)) amounts[key] = value;
  }
  return amounts;
}

/** The same amounts, all 0. */
export function zeros(resources: JsonObject): JsonObject {
  const amounts = amountsOf(resources);
  return combine(amounts, amounts, -1);
}

/** Amount by amount, the larger. */
export function larger(a: JsonObject, b: JsonObject): JsonObject {
  const most: JsonObject = { ...a };
  for (const [key, value] of Object.entries(b)) {
    const other = a[key];
    if (typeof value === 'number' && typeof other === 'number') most[key] = Math.max(value, other);
    else most[key] = isJsonObject(value) && isJsonObject(other) ? larger(other, value) : value;
  }
  return most;
}

/** Every amount with its path, such as `gpus.a100`. */
export function leaves(resources: JsonObject, path = ''): [path: string, amount: number][] {
  return Object.entries(resources).flatMap(([key, value]): [string, number][] => {
    const at = path === '' ? key : `${path}.${key}`;
    if (typeof value === 'number') return [[at, value]];
    return isJsonObject(value) ? leaves(value, at) : [];
  });
}

/** Sums of fractions leave dust; nine decimals are what the original counts in. */
function round9(value: number): number {
  const rounded = Math.round(value * 1e9) / 1e9;
  return Number.isSafeInteger(value) ? value : rounded === 0 ? 0 : rounded;
}
