import { EruError, isJsonObject, type Json, type JsonObject } from '@eru/kit';
import { field } from '../wire.ts';

// What a command reads from standard input. Absent keys and `null` are empty; field names may be in any case.

/** @throws EruError `invalid` */
export function parseInput(input: string): JsonObject {
  if (input.trim() === '') return {};
  let value: Json;
  try {
    value = JSON.parse(input) as Json;
  } catch (error) {
    throw new EruError('invalid', `the request on standard input is no JSON: ${(error as Error).message}`);
  }
  if (value === null) return {};
  if (!isJsonObject(value)) throw new EruError('invalid', 'the request on standard input is no JSON object');
  return value;
}

export function objectIn(request: JsonObject, name: string): JsonObject {
  return optionalObject(request, name) ?? {};
}

export function optionalObject(request: JsonObject, name: string): JsonObject | undefined {
  const value = field(request, name) ?? null;
  if (value === null) return undefined;
  if (!isJsonObject(value)) throw new EruError('invalid', `${name}: should be an object`);
  return value;
}

export function objectsIn(request: JsonObject, name: string): JsonObject[] {
  return listIn(request, name).map((each) => {
    if (each === null) return {};
    if (!isJsonObject(each)) throw new EruError('invalid', `${name}: should be a list of objects`);
    return each;
  });
}

export function nodeNameIn(request: JsonObject): string {
  const name = field(request, 'nodename');
  if (typeof name !== 'string' || name === '') throw new EruError('invalid', 'nodename: node name is empty');
  return name;
}

export function nodeNamesIn(request: JsonObject): string[] {
  const names = listIn(request, 'nodenames').filter((name) => typeof name === 'string');
  if (names.length === 0) throw new EruError('invalid', 'nodenames: node name is empty');
  return names;
}

/** An answer lists every instance; a core of ours asks for no more. */
const countMost = 100_000;

export function countIn(request: JsonObject, name: string): number {
  const value = field(request, name) ?? 0;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new EruError('invalid', `${name}: ${JSON.stringify(value)}: invalid deploy count`);
  if (value > countMost) throw new EruError('invalid', `${name}: ${value}: the most in one request are ${countMost}`);
  return value;
}

function listIn(request: JsonObject, name: string): Json[] {
  const value = field(request, name) ?? null;
  if (value === null) return [];
  if (!Array.isArray(value)) throw new EruError('invalid', `${name}: should be a list`);
  return value;
}
