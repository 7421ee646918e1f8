import { checkForwards, checkTransfers } from '@eru/agent';
import type { Context } from '@eru/cli';
import { parseEndpoint } from '@eru/contract';

import { agentKeysWithoutEffect, readAgentConfig } from '../settings/agent-config.ts';
import { agentSettings } from '../settings/agent-settings.ts';
import { readCoreConfig, withoutEffect } from '../settings/core-config.ts';
import { credentialIn, etcdOf, refuseOpenPort } from '../settings/core-settings.ts';

/** `eru core config check`: everything that would keep core from starting with the file, and what of it has no effect. */
export async function configCheckCommand(
  { stdout, env, globals }: Context,
  _flags: object,
  file: string,
): Promise<number> {
  const config = await readCoreConfig(file, env);
  if (credentialIn(config) === undefined && config.bind !== undefined) refuseOpenPort(config.bind, file);
  await etcdOf(config);
  tell({ stdout, globals }, file, withoutEffect(config));
  return 0;
}

/** `eru agent config check`: the same of an agent's file. */
export async function agentConfigCheckCommand(
  { stdout, env, globals }: Context,
  _flags: object,
  file: string,
): Promise<number> {
  const config = await readAgentConfig(file, env);
  const { logs, metrics, api } = agentSettings(config, { socket: '' });
  checkForwards(logs.forwards);
  checkTransfers(metrics.transfers);
  if (api !== undefined) parseEndpoint(api);
  tell({ stdout, globals }, file, agentKeysWithoutEffect(config));
  return 0;
}

function tell(
  { stdout, globals }: Pick<Context, 'stdout' | 'globals'>,
  file: string,
  idle: readonly { key: string; meaning: string }[],
): void {
  if (globals.output === 'json')
    return void stdout.write(`${JSON.stringify({ file, ok: true, without_effect: idle })}\n`);
  stdout.write(`${file} is good.\n`);
  for (const { key, meaning } of idle) stdout.write(`${key} has no effect: ${meaning}\n`);
}
