import type { Context } from '@eru/cli';
import { connectCore, findCore, removeEndpoint, writeEndpoint } from '@eru/client';
import { Closer, createLogger, EruError, invalid } from '@eru/kit';
import { hostname } from 'node:os';

import { openStore, runAgent, runCore, runRuntime } from './daemons.ts';
import { credentialOf, openDataFolder } from './data-folder.ts';
import { writeRunning } from './running.ts';
import { readServing, type ServingFlags } from './serving-flags.ts';

export async function coreCommand(context: Context, flags: ServingFlags & { store?: string }): Promise<number> {
  const data = await openDataFolder(context.globals.data);
  const logger = createLogger();
  return serveUntilStopped(context, async (closer) => {
    const { signal } = context;
    const url = flags.store ?? 'embedded';
    const store = await openStore(url, data, logger);
    closer.add('store', () => store.close());
    await writeRunning(data.root, 'core', { store: url });
    const credential = flags.auth ? await credentialOf(data) : undefined;
    const core = await runCore({ store, ...(await readServing(flags)), credential, logger, signal });
    closer.add('core', () => core.close());
    await writeEndpoint(data.root, {
      address: core.address,
      username: credential?.username ?? '',
      password: credential?.password ?? '',
    });
    closer.add('endpoint file', () => removeEndpoint(data.root));
  });
}

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

/** Runs a daemon until the user stops it; what was opened is closed even when starting fails. */
async function serveUntilStopped({ signal }: Context, start: (closer: Closer) => Promise<void>): Promise<number> {
  await using closer = new Closer();
  await start(closer);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  return 0;
}
