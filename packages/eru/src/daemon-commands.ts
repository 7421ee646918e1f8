import type { Context } from '@eru/cli';
import { connectCore, findCore } from '@eru/client';
import { createLogger, EruError, invalid } from '@eru/kit';
import { hostname } from 'node:os';

import { runAgent, runRuntime } from './daemons.ts';
import { openDataFolder } from './data-folder.ts';
import { writeRunning } from './running.ts';
import { serveUntilStopped } from './serve-until-stopped.ts';

export async function runtimeCommand(context: Context, flags: { socket?: string; strict?: boolean }): Promise<number> {
  const data = await openDataFolder(context.globals.data);
  return serveUntilStopped(context, async (closer) => {
    const runtime = await runRuntime({
      folder: data.runtime,
      socket: flags.socket ?? data.socket,
      strict: flags.strict === true,
      logger: createLogger(),
    });
    closer.add('runtime', () => runtime.close());
    await writeRunning(data.root, 'runtime', {});
  });
}

export async function agentCommand(
  context: Context,
  flags: { socket?: string; node?: string; heartbeat: string },
): Promise<number> {
  const { globals } = context;
  const data = await openDataFolder(globals.data);
  const heartbeatS = Number(flags.heartbeat);
  if (!Number.isInteger(heartbeatS) || heartbeatS < 1)
    throw invalid('--heartbeat', flags.heartbeat, 'write a number of seconds, at least 1');
  const { found, ...core } = await findCore(globals);
  if (!found && globals.eru === undefined)
    throw new EruError(
      'unavailable',
      `no core is known: give --eru HOST:PORT, or the data folder of a running one with --data`,
    );
  const client = connectCore(core);
  const node = flags.node ?? hostname();
  return serveUntilStopped(context, async (closer) => {
    closer.add('client', () => client.close());
    const agent = await runAgent({
      node,
      socket: flags.socket ?? data.socket,
      core: client,
      heartbeatS,
      logger: createLogger(),
    });
    closer.add('agent', () => agent.close());
    await writeRunning(data.root, 'agent', { node });
  });
}
