import { EruError, isJsonObject, nearest, parseConfig, type Json } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

import { coreKeyNames, coreKeys, describe, type CoreConfig, type CoreKey } from './core-keys.ts';

/** `core.yaml` as a schema: unknown keys are errors, empty values are like none. */
export const coreSchema: z.ZodType<Json> = objectOf(coreKeyNames.map((key) => [key.split('.'), coreKeys[key].type]));

/**
 * A configuration file of the original, key for key. `ERU_CORE_ETCD_PREFIX` and the like in `env` win over the file.
 * @throws EruError `invalid` with file, line and column, or the name of the variable
 */
export async function readCoreConfig(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<CoreConfig> {
  const config = { ...(file === undefined ? {} : await fromFile(file)), ...fromEnvironment(env) };
  if (config.store === 'redis')
    throw new EruError(
      'invalid',
      `${file ?? 'ERU_CORE_STORE'}: store: redis is not served; write etcd, or leave it out for the embedded store`,
    );
  return config;
}

/** The given keys of which somebody should know that they have no effect. */
export function withoutEffect(config: CoreConfig): { key: CoreKey; use: 'unused' | 'stale'; meaning: string }[] {
  return coreKeyNames.flatMap((key) => {
    const { use, meaning } = describe(key);
    return config[key] === undefined || use === 'used' ? [] : [{ key, use, meaning }];
  });
}

async function fromFile(file: string): Promise<CoreConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new EruError('invalid', `${file} cannot be read: ${EruError.from(cause).message}`, { cause });
  }
  const value = parseConfig(text, file, coreSchema);
  const given = coreKeyNames.map((key) => [key, at(value, key.split('.'))] as const);
  return Object.fromEntries(given.filter(([, one]) => one !== undefined)) as CoreConfig;
}

function at(value: Json | undefined, path: readonly string[]): Json | undefined {
  const [first, ...rest] = path;
  if (first === undefined) return value ?? undefined;
  return isJsonObject(value) ? at(value[first], rest) : undefined;
}

const variables = new Map(coreKeyNames.map((key) => [`ERU_CORE_${key.replaceAll('.', '_').toUpperCase()}`, key]));

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): CoreConfig {
  const config: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('ERU_CORE_') || value === undefined || value === '') continue;
    const key = variables.get(name);
    if (key === undefined) {
      const near = nearest(name, [...variables.keys()]);
      throw new EruError(
        'invalid',
        `${name}: no such key; ${near === undefined ? 'see docs/config.md' : `did you mean ${near}?`}`,
      );
    }
    config[key] = fromVariable(name, key, value);
  }
  return config as CoreConfig;
}

/** Text as it is, a list with commas, or whatever YAML makes of it. */
function fromVariable(name: string, key: CoreKey, value: string): unknown {
  const { type } = describe(key);
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
