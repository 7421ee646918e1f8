import type { Context } from '@eru/cli';
import { connectCore, findCore, type Core as CoreClient } from '@eru/client';
import { EruError } from '@eru/kit';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { defaultListen } from '../settings/default-listen.ts';
import { findApart, findHome, findRunning, stopRunning, type Home } from '../running.ts';
import { up } from '../up.ts';

/** How long a detached Eru may take to end. */
const stopMs = 30_000;

type Say = (text: string) => void;

export async function downCommand(context: Context, flags: { all?: boolean }): Promise<number> {
  const { data } = context.globals;
  const say: Say = (text) => void context.stderr.write(`${text}\n`);
  const home = await findHome(data);
  const isRunning = (await findRunning(data)) !== undefined;
  if (!isRunning) await refuseBesideParts(data);
  // On a shared etcd, a machine where only a core ran has no workloads.
  const isBare = home === undefined ? !existsSync(path.join(data, 'store')) : isShared(home) && home.node === undefined;
  if (!isRunning && (flags.all !== true || isBare)) {
    say(`no Eru runs on ${data}`);
    return 0;
  }
  const remove = isRunning ? removeThroughRunning : removeAlone;
  const { failed, released } = flags.all === true ? await remove(context, home, say) : nothingLeft;
  if (isRunning && !(await stopRunning(data, stopMs)))
    throw new EruError('timeout', `Eru did not stop within ${stopMs / 1000} s`);
  if (failed > 0) say(`Eru is down. ${failed} workloads could not be removed; \`eru down --all\` tries again.`);
  else if (flags.all !== true) say('Eru is down. The workloads run on.');
  else if (released.length === 0) say('Eru is down, and nothing of it is left.');
  else tellReleased(released, say);
  return failed === 0 ? 0 : 1;
}

interface Released {
  id: string;
  name: string;
}

interface Left {
  /** How many could not be removed. */
  failed: number;
  /** Dissociated, and so left alone. */
  released: Released[];
}

const nothingLeft: Left = { failed: 0, released: [] };

function tellReleased(released: readonly Released[], say: Say): void {
  say(
    `Eru is down. What was dissociated is not Eru's any more and runs on: ${released.map(({ name }) => name).join(', ')}.`,
  );
  say(
    'To end it yourself, all processes of its cgroup (without cgroups: those with ERU_WORKLOAD=ID in their environment):',
  );
  for (const { id } of released) say(`  kill $(cat $(find /sys/fs/cgroup -path '*/eru/${id}*' -name cgroup.procs))`);
}

/** Parts that run apart belong to whoever started them, a service manager perhaps, which would start them again. */
async function refuseBesideParts(data: string): Promise<void> {
  const apart = await findApart(data);
  if (apart.length === 0) return;
  const names = apart.map(({ part, pid }) => `${part} (process ${pid})`).join(', ');
  throw new EruError(
    'busy',
    `${data} belongs to parts that run apart: ${names}; \`eru rm\` removes workloads, and to stop a part, stop its service or \`kill ${apart.map(({ pid }) => pid).join(' ')}\``,
  );
}

async function removeThroughRunning({ globals, signal }: Context, home: Home | undefined, say: Say): Promise<Left> {
  const { data, tls } = globals;
  const { found, ...core } = await findCore({ data, ...(tls !== undefined && { tls }) });
  if (!found) throw new EruError('unavailable', `the Eru on ${data} is starting or stopping; try again`);
  const client = connectCore(core);
  try {
    return await removeAll(client, home, say, signal);
  } finally {
    client.close();
  }
}

/** With no Eru running, one is brought up where the last one was, for as long as the removal takes. */
async function removeAlone({ globals: { data }, signal }: Context, home: Home | undefined, say: Say): Promise<Left> {
  const running = await up({
    data,
    listen: defaultListen.replace(/:\d+$/, ':0'),
    store: home?.store,
    auth: true,
    agent: {},
    node: home?.node,
    docker: 'auto',
    netd: 'auto',
    pod: 'default',
    signal,
  }).catch((cause: unknown) => {
    const { code, message } = EruError.from(cause);
    throw new EruError(code, `nothing was removed: ${message}`, { cause });
  });
  try {
    return await removeAll(running.client, home && { ...home, node: running.node }, say, signal);
  } finally {
    await running.close();
  }
}

/** Answers what is left. Other machines may live on the same etcd: their workloads are not ours. */
async function removeAll(client: CoreClient, home: Home | undefined, say: Say, signal: AbortSignal): Promise<Left> {
  const mine = home !== undefined && isShared(home) && home.node !== undefined ? { node: home.node } : {};
  const released = await releasedOf(client, mine, signal);
  /** Id -> why it was refused; each is tried once. */
  const refused = new Map<string, string>();
  for (;;) {
    const names = await namesOf(client, mine, signal);
    const ids = [...names.keys()].filter((id) => !refused.has(id));
    // One that was refused and that a removal begun earlier has taken away in the meantime is gone, too.
    if (ids.length === 0) {
      for (const [id, name] of names) say(`could not remove ${name}: ${refused.get(id)}`);
      return { failed: names.size, released };
    }
    for await (const { id, success, error } of client.eru.remove({ ids, force: true, grace: 0 }, { signal })) {
      if (success) say(`removed ${names.get(id) ?? id}`);
      refused.set(id, error);
    }
    // A replace or a deploy in flight may have made others meanwhile.
  }
}

function isShared({ store }: Home): boolean {
  return store !== 'embedded';
}

async function namesOf(
  client: CoreClient,
  filter: { node?: string },
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for await (const { record } of client.eru.listWorkloads(filter, { signal }))
    if (record !== undefined) names.set(record.id, record.name);
  return names;
}

async function releasedOf(client: CoreClient, { node }: { node?: string }, signal: AbortSignal): Promise<Released[]> {
  const prefix = 'released/';
  const found: Released[] = [];
  for await (const { key, value } of client.eru.dumpStore({ prefix }, { signal })) {
    const release = JSON.parse(value) as { name: string; node: string };
    if (node === undefined || release.node === node) found.push({ id: key.slice(prefix.length), name: release.name });
  }
  return found;
}
