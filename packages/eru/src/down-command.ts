import type { Context } from '@eru/cli';
import { connectCore, findCore, type Core as CoreClient } from '@eru/client';
import { EruError } from '@eru/kit';

import { defaultListen } from './commands.ts';
import { findRunning, stopRunning } from './running.ts';
import { up } from './up.ts';

/** How long a detached Eru may take to end. */
const stopMs = 30_000;

export async function downCommand(context: Context, flags: { all?: boolean }): Promise<number> {
  const { globals, stderr } = context;
  const say = (text: string): void => void stderr.write(`${text}\n`);
  const isRunning = (await findRunning(globals.data)) !== undefined;
  let failed = 0;
  if (flags.all === true)
    failed = isRunning ? await removeThroughRunning(globals, say) : await removeAlone(globals.data, say);
  else if (!isRunning) {
    say(`no Eru runs on ${globals.data}`);
    return 0;
  }
  if (isRunning && !(await stopRunning(globals.data, stopMs)))
    throw new EruError('timeout', `Eru did not stop within ${stopMs / 1000} s`);
  if (isRunning)
    say(flags.all === true ? 'Eru is down, and nothing of it is left.' : 'Eru is down. The workloads run on.');
  return failed === 0 ? 0 : 1;
}

async function removeThroughRunning({ data, tls }: Context['globals'], say: (text: string) => void): Promise<number> {
  const { found, ...core } = await findCore({ data, ...(tls !== undefined && { tls }) });
  if (!found) throw new EruError('unavailable', `the Eru on ${data} is starting or stopping; try again`);
  const client = connectCore(core);
  try {
    return await removeAll(client, say);
  } finally {
    client.close();
  }
}

/** With no Eru running, one is brought up for as long as the removal takes. */
async function removeAlone(data: string, say: (text: string) => void): Promise<number> {
  const running = await up({
    data,
    listen: defaultListen.replace(/:\d+$/, ':0'),
    store: 'embedded',
    auth: true,
    node: undefined,
    pod: 'default',
  });
  try {
    return await removeAll(running.client, say);
  } finally {
    await running.close();
  }
}

/** Answers how many could not be removed. */
async function removeAll(client: CoreClient, say: (text: string) => void): Promise<number> {
  const names = new Map<string, string>();
  for await (const { record } of client.eru.listWorkloads({}))
    if (record !== undefined) names.set(record.id, record.name);
  if (names.size === 0) return 0;
  let failed = 0;
  for await (const event of client.eru.remove({ ids: [...names.keys()], force: true, grace: 0 })) {
    const name = names.get(event.id) ?? event.id;
    say(event.success ? `removed ${name}` : `could not remove ${name}: ${event.error}`);
    if (!event.success) failed += 1;
  }
  return failed;
}
