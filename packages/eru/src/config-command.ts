import type { Context } from '@eru/cli';

import { readCoreConfig, withoutEffect } from './core-config.ts';
import { credentialIn, etcdOf, refuseOpenPort } from './core-settings.ts';

/** `eru core config check`: everything that would keep core from starting with the file, and what of it has no effect. */
export async function configCheckCommand(
  { stdout, env, globals }: Context,
  _flags: object,
  file: string,
): Promise<number> {
  const config = await readCoreConfig(file, env);
  if (credentialIn(config) === undefined && config.bind !== undefined) refuseOpenPort(config.bind, file);
  await etcdOf(config);
  const idle = withoutEffect(config);
  if (globals.output === 'json') stdout.write(`${JSON.stringify({ file, ok: true, without_effect: idle })}\n`);
  else {
    stdout.write(`${file} is good.\n`);
    for (const { key, meaning } of idle) stdout.write(`${key} has no effect: ${meaning}\n`);
  }
  return 0;
}
