import { rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import path from 'node:path';

import type { Context } from '@eru/cli';
import { findCore } from '@eru/client';
import { createLogger, EruError, invalid, type Logger } from '@eru/kit';
import type { CoreCalls } from '@eru/agent';

import { agentKeysWithoutEffect, readAgentConfig } from '../settings/agent-config.ts';
import { originalFlags } from '../settings/agent-flags.ts';
import type { AgentConfig } from '../settings/agent-keys.ts';
import { agentSettings } from '../settings/agent-settings.ts';
import { joinedNode, type JoinFlags } from './daemon-commands.ts';
import { openDataFolder } from '../data-folder.ts';
import { LateCore } from '../node/late-core.ts';
import { mockCore } from '../mock-core.ts';
import { runAgent } from '../run-agent.ts';
import { writeRunning } from '../running.ts';
import { serveUntilStopped } from './serve-until-stopped.ts';

export interface AgentFlags extends JoinFlags {
  config?: string;
  socket?: string;
  node?: string;
  heartbeat?: string;
  register?: string;
  leave?: boolean;
  /** The original's flags, by the name that commander gives them. */
  [original: string]: string | string[] | boolean | undefined;
}

/** `eru agent`. What flags say wins over the environment, and that over the configuration file. */
export async function agentCommand(context: Context, flags: AgentFlags, address?: string): Promise<number> {
  const env = { ...context.env, ...variablesOf(flags) };
  const config = await readAgentConfig(flags.config ?? env['ERU_AGENT_CONFIG_PATH'], env);
  const data = await openDataFolder(context.globals.data);
  const logger = createLogger({ level: config['log.level'] ?? 'info' });
  for (const { key, meaning } of agentKeysWithoutEffect(config))
    logger.warn({ key }, `configuration: no effect: ${meaning}`);
  const socket = path.resolve(flags.socket ?? data.socket);
  const settings = agentSettings(
    { ...config, ...(flags.heartbeat !== undefined && { heartbeat_interval: heartbeatOf(flags.heartbeat) }) },
    { socket, ...(flags.register !== undefined && { pod: flags.register }) },
  );
  const end = endOf(context.signal, flags.leave === true);
  return serveUntilStopped({ ...context, signal: end.signal }, async (closer) => {
    /** The machine that has joined speaks with its certificate, any other with a user's credential. */
    const speaker = async (): Promise<{ node: string; core: CoreCalls }> => {
      const joined = await joinedNode(context, { data, logger, closer }, flags, address);
      if (joined !== undefined) return joined;
      const core = coreOf(context, config, logger);
      closer.add('client', () => core.close?.());
      return { node: flags.node ?? (env['ERU_HOSTNAME'] || hostname()), core };
    };
    if (config.pid !== undefined) {
      const { pid } = config;
      await writePid(pid);
      closer.add('pid file', () => rm(pid, { force: true }));
    }
    const { node, core } = await speaker();
    const folder = path.join(data.root, 'agent');
    const agent = await runAgent({ node, core, settings, folder, logger });
    closer.add('agent', () => agent.close({ leave: end.leaves() }));
    await writeRunning(data.root, 'agent', { node });
  });
}

/** Flags of the original as the variables that they stand for. Lists may be repeated. */
function variablesOf(flags: AgentFlags): Record<string, string> {
  const given = Object.entries(originalFlags).flatMap(([flag, variable]) => {
    const value = flags[flag.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
    if (value === undefined) return [];
    return [[variable, Array.isArray(value) ? value.join(',') : String(value)] as const];
  });
  return Object.fromEntries(given);
}

function heartbeatOf(text: string): number {
  const seconds = Number(text);
  if (Number.isInteger(seconds) && seconds >= 0) return seconds;
  throw invalid('--heartbeat', text, 'write a number of seconds; 0 sends none');
}

/**
 * When to end, and whether the node leaves then. A restart must not look like a death, so TERM keeps the node alive for its
 * three heartbeats, unless `--leave`. QUIT leaves, and USR1 never does (the original's restart signal).
 */
function endOf(signal: AbortSignal, leave: boolean): { signal: AbortSignal; leaves: () => boolean } {
  const asked = new AbortController();
  let leaves = leave;
  process.once('SIGQUIT', () => {
    leaves = true;
    asked.abort();
  });
  process.once('SIGUSR1', () => {
    leaves = false;
    asked.abort();
  });
  return { signal: AbortSignal.any([signal, asked.signal]), leaves: () => leaves };
}

async function writePid(file: string): Promise<void> {
  try {
    await writeFile(file, String(process.pid), { mode: 0o600 });
  } catch (cause) {
    throw new EruError('invalid', `pid: ${file} cannot be written: ${EruError.from(cause).message}`, { cause });
  }
}

function coreOf({ globals }: Context, config: AgentConfig, logger: Logger): CoreCalls & { close?: () => void } {
  if (config.store === 'mocks') return mockCore(logger);
  const eru = globals.eru ?? config.core?.join(',');
  const username = globals.username ?? (config['auth.username'] || undefined);
  const password = globals.password ?? (config['auth.password'] || undefined);
  return new LateCore(() =>
    findCore({
      ...globals,
      ...(eru !== undefined && { eru }),
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
    }),
  );
}
