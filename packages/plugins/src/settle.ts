import { EruError } from '@eru/kit';
import { combined } from './failure.ts';
import type { Plugin } from './plugin.ts';

/** What came of one call to each of several plugins, by name, in the plugins' order. */
export interface Outcome<T> {
  readonly values: ReadonlyMap<string, T>;
  readonly errors: ReadonlyMap<string, EruError>;
}

/** Calls all in parallel and waits for all. Never throws. */
export async function settleAll<T>(
  plugins: readonly Plugin[],
  call: (plugin: Plugin) => Promise<T>,
): Promise<Outcome<T>> {
  const results = await Promise.allSettled(plugins.map(call));
  const values = new Map<string, T>();
  const errors = new Map<string, EruError>();
  for (const [index, { name }] of plugins.entries()) {
    const result = results[index] as PromiseSettledResult<T>;
    if (result.status === 'fulfilled') values.set(name, result.value);
    else errors.set(name, EruError.from(result.reason));
  }
  return { values, errors };
}

/** For questions, which leave nothing to repair. @throws EruError all errors in one */
export async function all<T>(
  plugins: readonly Plugin[],
  call: (plugin: Plugin) => Promise<T>,
): Promise<ReadonlyMap<string, T>> {
  const { values, errors } = await settleAll(plugins, call);
  if (errors.size > 0) throw combined([...errors.values()]);
  return values;
}
