import { EruError, isJsonObject, nearest, parseConfig, type Json } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

import type { Key } from './config-key.ts';

/** The keys of a configuration file by their path, and how the environment names them. */
export interface KeyTable<K extends string = string> {
  keys: Readonly<Record<K, Key>>;
  /** In front of the names of all variables; what is behind it and no key is refused. */
  prefix: string;
  /** Where a variable is not named after its key. */
  variables?: Readonly<Partial<Record<K, string>>>;
  /** Variables with the prefix that somebody else reads. */
  others?: readonly string[];
}

/**
 * What is given, by key: the file, and the environment on top. A key that is empty counts as not given.
 * @throws EruError `invalid` with file, line and column, or the name of the variable
 */
export async function readKeys<K extends string>(
  table: KeyTable<K>,
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Partial<Record<K, unknown>>> {
  const given = { ...(file === undefined ? {} : await fromFile(table, file)), ...fromEnvironment(table, env) };
  return given as Partial<Record<K, unknown>>;
}

/** The given keys of which somebody should know that they have no effect. */
export function idleKeys<K extends string>(
  { keys }: KeyTable<K>,
  config: Readonly<Partial<Record<K, unknown>>>,
): { key: K; use: 'unused' | 'stale'; meaning: string }[] {
  return (Object.keys(keys) as K[]).flatMap((key) => {
    const { use, meaning } = keys[key];
    return config[key] === undefined || use === 'used' ? [] : [{ key, use, meaning }];
  });
}

async function fromFile({ keys }: KeyTable, file: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new EruError('invalid', `${file} cannot be read: ${EruError.from(cause).message}`, { cause });
  }
  const schema = objectOf(Object.entries(keys).map(([key, { type }]) => [key.split('.'), type]));
  const value = parseConfig(text, file, schema);
  const given = Object.keys(keys).map((key) => [key, at(value, key.split('.'))] as const);
  return Object.fromEntries(given.filter(([, one]) => one !== undefined));
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return value ?? undefined;
  return isJsonObject(value) ? at(value[first], rest) : undefined;
}

function fromEnvironment(
  { keys, prefix, variables = {}, others = [] }: KeyTable,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, unknown> {
  const named = Object.keys(keys).filter((key) => variables[key] === undefined);
  // An old key may have the name that a variable of another one has.
  const names = new Map([
    ...named.map((key) => [`${prefix}${key.replaceAll('.', '_').toUpperCase()}`, key] as const),
    ...Object.entries(variables).map(([key, name = '']) => [name, key] as const),
  ]);
  const config: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) {
    const foreign = !name.startsWith(prefix) && !names.has(name);
    if (foreign || others.includes(name) || value === undefined || value === '') continue;
    const key = names.get(name);
    if (key === undefined) {
      const near = nearest(name, [...names.keys()]);
      throw new EruError(
        'invalid',
        `${name}: no such key; ${near === undefined ? 'see docs/config.md' : `did you mean ${near}?`}`,
      );
    }
    config[key] = fromVariable(name, keys[key]?.type ?? z.unknown(), value);
  }
  return config;
}

/** Text as it is, a list with commas, or whatever YAML makes of it. */
function fromVariable(name: string, type: z.ZodType, value: string): unknown {
  const readings = [value, value.split(',').map((part) => part.trim()), readYaml(value)];
  for (const reading of readings) {
    const result = type.safeParse(reading);
    if (result.success) return result.data;
  }
  const [issue] = type.safeParse(value).error?.issues ?? [];
  throw new EruError('invalid', `${name}: ${issue?.message ?? 'is not allowed'}`);
}

function readYaml(text: string): unknown {
  try {
    return parseConfig(text, 'value', z.unknown());
  } catch {
    return undefined;
  }
}

function objectOf(entries: readonly (readonly [readonly string[], z.ZodType])[]): z.ZodType<Json> {
  const groups = new Map<string, [string[], z.ZodType][]>();
  for (const [[first = '', ...rest], type] of entries) groups.set(first, [...(groups.get(first) ?? []), [rest, type]]);
  const shape = [...groups].map(([name, inner]) => {
    const [[path, type] = []] = inner;
    const value = path?.length === 0 && type !== undefined ? type : objectOf(inner);
    return [name, value.nullish()] as const;
  });
  return z.strictObject(Object.fromEntries(shape)) as unknown as z.ZodType<Json>;
}
