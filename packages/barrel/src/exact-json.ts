import { randomBytes } from 'node:crypto';

import { EruError, isJsonObject, type JsonObject } from '@eru/kit';

/** A JSON object, and how to write it so that every number reads as it came. */
export interface ExactJson {
  readonly value: JsonObject | JsonObject[];
  readonly write: (value: unknown) => Buffer;
}

const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/g;

/**
 * JavaScript's numbers are doubles: what they cannot hold (`9007199254740993`, `1.0`, `1e400`) is carried as a marked string between
 * reading and writing. @throws EruError `invalid`
 */
export function parseExact(body: Buffer, what: string): ExactJson {
  const text = body.toString('utf8');
  // Nobody can have guessed it.
  const mark = `number ${randomBytes(12).toString('hex')} `;
  const marked = text.replace(tokens, (token) =>
    token.startsWith('"') || String(Number(token)) === token ? token : `"${mark}${token}"`,
  );
  let value: unknown;
  try {
    // The text itself too: a mark must not make JSON of what is none.
    JSON.parse(text);
    value = JSON.parse(marked);
  } catch (cause) {
    throw new EruError('invalid', `${what}: this is no JSON: ${EruError.from(cause).message}`, { cause });
  }
  if (!isJsonObject(value) && !(Array.isArray(value) && value.every(isJsonObject)))
    throw new EruError('invalid', `${what}: an object is expected here`);
  const back = new RegExp(`"${mark}([^"]*)"`, 'g');
  return { value, write: (changed) => Buffer.from(`${JSON.stringify(changed).replace(back, '$1')}\n`) };
}

/**
 * Gives these fields the case that they are documented in: dockerd takes any (`hostconfig`), and so would see what we do not. The object
 * itself is changed. @throws EruError `invalid` when a field is there in two ways
 */
export function canonicalFields(object: JsonObject, names: readonly string[], where: string): void {
  const known = new Map(names.map((name) => [fold(name), name]));
  for (const key of Object.keys(object)) {
    const name = known.get(fold(key));
    if (name === undefined || name === key) continue;
    if (Object.hasOwn(object, name))
      throw new EruError('invalid', `${where}: ${name} is given twice, once as ${JSON.stringify(key)}; write it once`);
    object[name] = object[key] as JsonObject;
    delete object[key];
  }
}

/** As Go compares names, with the long s and the sign of Kelvin. */
function fold(name: string): string {
  return name.toUpperCase().toLowerCase();
}

/** The object at this field; an empty one, put there, where there is none or null. @throws EruError `invalid` */
export function objectAt(parent: JsonObject, name: string, where: string): JsonObject {
  const value = parent[name] ?? {};
  if (!isJsonObject(value)) throw new EruError('invalid', `${where}.${name}: an object is expected here`);
  parent[name] = value;
  return value;
}

/** The text at this field; empty where there is none. */
export function textAt(object: JsonObject, name: string): string {
  const value = object[name];
  return typeof value === 'string' ? value : '';
}
