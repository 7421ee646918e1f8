import type { Context } from '@eru/cli';
import { connectCore, findCore, type Core as CoreClient } from '@eru/client';
import { EruError } from '@eru/kit';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { defaultListen } from './commands.ts';
import { findHome, findRunning, stopRunning, type Home } from './running.ts';
import { up } from './up.ts';

/** How long a detached Eru may take to end. */
const stopMs = 30_000;

type Globals = Context['globals'];
type Say = (text: string) => void;

export async function downCommand(context: Context, flags: { all?: boolean }): Promise<number> {
  const { data } = context.globals;
  const say: Say = (text) => void context.stderr.write(`${text}\n`);
  const home = await findHome(data);
  const isRunning = (await findRunning(data)) !== undefined;
  if (!isRunning && (flags.all !== true || (home === undefined && !existsSync(path.join(data, 'store'))))) {
    say(`no Eru runs on ${data}`);
    return 0;
  }
  const remove = isRunning ? removeThroughRunning : removeAlone;
  const failed = flags.all === true ? await remove(context.globals, home, say) : 0;
  if (isRunning && !(await stopRunning(data, stopMs)))
    throw new EruError('timeout', `Eru did not stop within ${stopMs / 1000} s`);
  if (failed > 0) say(`Eru is down. ${failed} workloads could not be removed; \`eru down --all\` tries again.`);
  else if (flags.all !== true) say('Eru is down. The workloads run on.');
  else say('Eru is down, and nothing of it is left.');
  return failed === 0 ? 0 : 1;
}

async function removeThroughRunning(globals: Globals, home: Home | undefined, say: Say): Promise<number> {
  const { data, tls } = globals;
  const { found, ...core } = await findCore({ data, ...(tls !== undefined && { tls }) });
  if (!found) throw new EruError('unavailable', `the Eru on ${data} is starting or stopping; try again`);
  const client = connectCore(core);
  try {
    return await removeAll(client, home, say);
  } finally {
    client.close();
  }
}

/** With no Eru running, one is brought up where the last one was, for as long as the removal takes. */
async function removeAlone({ data }: Globals, home: Home | undefined, say: Say): Promise<number> {
  const running = await up({
    data,
    listen: defaultListen.replace(/:\d+$/, ':0'),
    store: home?.store,
    auth: true,
    node: home?.node,
    pod: 'default',
  }).catch((cause: unknown) => {
    const { code, message } = EruError.from(cause);
    throw new EruError(code, `nothing was removed: ${message}`, { cause });
  });
  try {
    return await removeAll(running.client, home, say);
  } finally {
    await running.close();
  }
}

/** Answers how many could not be removed. Other machines may live on the same etcd: their workloads are not ours. */
async function removeAll(client: CoreClient, home: Home | undefined, say: Say): Promise<number> {
  const mine = home === undefined || home.store === 'embedded' ? {} : { node: home.node };
  const names = await namesOf(client, mine);
  if (names.size === 0) return 0;
  const refused = new Map<string, string>();
  for await (const { id, success, error } of client.eru.remove({ ids: [...names.keys()], force: true, grace: 0 })) {
    if (success) say(`removed ${names.get(id) ?? id}`);
    else refused.set(id, error);
  }
  // One that a removal begun earlier has taken away in the meantime is gone, too.
  const left = await namesOf(client, mine);
  for (const [id, name] of left) say(`could not remove ${name}: ${refused.get(id) ?? 'it came meanwhile'}`);
  return left.size;
}

async function namesOf(client: CoreClient, filter: { node?: string }): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for await (const { record } of client.eru.listWorkloads(filter))
    if (record !== undefined) names.set(record.id, record.name);
  return names;
}
