import { EruError } from '@eru/kit';

import { idleKeys, readKeys, type KeyTable } from './config-file.ts';
import { coreKeys, type CoreConfig, type CoreKey } from './core-keys.ts';

const table: KeyTable<CoreKey> = { keys: coreKeys, prefix: 'ERU_CORE_' };

/**
 * A configuration file of the original, key for key. `ERU_CORE_ETCD_PREFIX` and the like in `env` win over the file.
 * @throws EruError `invalid` with file, line and column, or the name of the variable
 */
export async function readCoreConfig(
  file: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<CoreConfig> {
  const config = (await readKeys(table, file, env)) as CoreConfig;
  if (config.store === 'redis')
    throw new EruError(
      'invalid',
      `${file ?? 'ERU_CORE_STORE'}: store: redis is not served; write etcd, or leave it out for the embedded store`,
    );
  return config;
}

/** The given keys of which somebody should know that they have no effect. */
export function withoutEffect(config: CoreConfig): { key: CoreKey; use: 'unused' | 'stale'; meaning: string }[] {
  return idleKeys(table, config);
}
