import { runCli, type Context } from '@eru/cli';
import { EruError, parseConfig } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

import { readAgentConfig } from '../settings/agent-config.ts';
import { openDataFolder } from '../data-folder.ts';
import { attachedArgv, detach, tellParent } from '../detach.ts';
import { up, type Up, type UpOptions } from '../up.ts';

interface UpFlags extends Omit<UpOptions, 'data' | 'signal' | 'agent'> {
  agentConfig?: string;
  example?: string;
  detach?: boolean;
}

export async function upCommand(context: Context, flags: UpFlags): Promise<number> {
  const { globals, stderr } = context;
  const say = (text: string): void => void stderr.write(`${text}\n`);
  if (flags.detach === true) {
    const data = await openDataFolder(globals.data);
    const { greeting } = await detach(attachedArgv(), data.log);
    for (const line of greeting) say(line);
    const code = await deployExample(context, flags.example);
    if (code === 0) tryNext(say);
    else say(`The app of ${flags.example} is not up, as said above.`);
    say(`Eru runs in the background; its log is ${data.log}. \`eru down\` stops it, the workloads run on.`);
    return code;
  }
  let running: Up;
  try {
    const agent = await readAgentConfig(flags.agentConfig, context.env);
    running = await up({ ...flags, ...own(globals), agent, signal: context.signal });
  } catch (error) {
    const { code, message } = EruError.from(error);
    tellParent({ code, message });
    throw error;
  }
  try {
    const greeting = greetingOf(running, flags);
    // A detached Eru has nobody to show anything to; its parent deploys the example.
    if (tellParent({ greeting })) return await idle(context);
    for (const line of greeting) say(line);
    if ((await deployExample(context, flags.example)) !== 0)
      say(`The app of ${flags.example} is not up, as said above.`);
    tryNext(say);
    say('Showing status changes. Ctrl-C stops Eru; the workloads run on.');
    await cli(context, ['status', '-w']);
    return await idle(context);
  } finally {
    say('Stopping Eru. The workloads run on; `eru up` finds them again, `eru down --all` removes them.');
    await running.close();
  }
}

/** What concerns the Eru of this data folder, whatever other core the environment may name. */
function own({ data, tls }: Context['globals']): Pick<UpOptions, 'data' | 'tls'> {
  return { data, ...(tls !== undefined && { tls }) };
}

function greetingOf({ address, node, offers, missing, leftStore }: Up, { auth }: UpFlags): string[] {
  const has = offers.filter((offer) => !offer.startsWith('runtime '));
  return [
    `Eru serves on ${address}, node ${node}.`,
    ...(has.length === 0 ? [] : [`It has ${has.join(', ')}.`]),
    ...missing.map((sentence) => `Missing here: ${sentence}`),
    ...(leftStore === undefined
      ? []
      : [`Its state was in ${leftStore} before: workloads recorded there run on, and are not seen from here.`]),
    ...(auth ? [] : ['--no-auth: whoever reaches this port runs commands as this user.']),
  ];
}

/** Deploys the app of a spec unless a workload of it is recorded, and waits until it is healthy. Answers the exit code. */
async function deployExample(context: Context, file: string | undefined): Promise<number> {
  if (file === undefined) return 0;
  const { appname } = parseConfig(await readFile(file, 'utf8'), file, z.looseObject({ appname: z.string() }));
  const { connectCore, findCore } = await import('@eru/client');
  const client = connectCore(await findCore(own(context.globals)));
  try {
    for await (const _known of client.eru.listWorkloads({ app: appname })) {
      return await cli(context, ['ps', '--app', appname, '--wait']);
    }
  } finally {
    client.close();
  }
  return cli(context, ['deploy', file, '--wait']);
}

function tryNext(say: (text: string) => void): void {
  say('Try next:');
  say('  npx eru ps                    what runs, where, how healthy, with which limits');
  say('  npx eru logs -f WORD          a name, an id or the beginning of an id');
  say('  npx eru exec -it WORD sh      a shell inside');
  say('  npx eru down --all            remove the workloads, then stop Eru');
}

/** One of the commands that ask core, as a user would type it. */
function cli(context: Context, argv: readonly string[]): Promise<number> {
  const { data } = context.globals;
  return runCli([...argv, '--data', data], context);
}

function idle({ signal }: Context): Promise<number> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(0);
    else signal.addEventListener('abort', () => resolve(0), { once: true });
  });
}
