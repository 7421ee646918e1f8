import type { eru, MessageInitShape } from '@eru/contract';
import { EruError, Queue } from '@eru/kit';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { write, say } from '../output.ts';
import type { SpecFlags } from '../spec/spec-file.ts';
import { requestOfCommand } from '../spec/spec-file.ts';
import * as values from '../spec/values.ts';

interface LambdaFlags extends SpecFlags {
  name?: string;
  workdir?: string;
  stdin?: boolean;
  async?: boolean;
  asyncTimeout?: string;
}

type RunRequest = MessageInitShape<typeof eru.RunRequestSchema>;

/** Input waits in the pipe, not in our memory. */
const queuedRequests = 64;

/** Runs a command once, in workloads that are removed afterwards; ends with the first exit code that is not 0. */
export async function lambda(context: Context, flags: LambdaFlags, words: string[]): Promise<number> {
  const commands = words[0] === '--' ? words.slice(1) : words;
  if (commands.length === 0)
    throw new EruError('invalid', 'missing command; write: eru lambda [options] <command> [argument ...]');
  const { stdin = false, async: asynchronous = false } = flags;
  if (stdin && asynchronous) throw new EruError('invalid', '--stdin and --async: give one of the two');
  const name = values.flagged('--name', values.entrypointName, flags.name ?? 'job');
  const timeout = Math.ceil(values.flagged('--async-timeout', values.duration, flags.asyncTimeout ?? '300s') / 1000);
  const { options, process } = await requestOfCommand({ name, commands, dir: flags.workdir ?? '' }, flags);
  const open = { options: { ...options, openStdin: stdin }, process, asynchronous, timeout };
  const requests = new Queue<RunRequest>(queuedRequests);
  requests.push({ request: { case: 'open', value: open } });
  return withConnection(context, (connection) => follow(context, connection, requests, { stdin, asynchronous }));
}

async function follow(
  context: Context,
  { eru }: Connection,
  requests: Queue<RunRequest>,
  { stdin, asynchronous }: { stdin: boolean; asynchronous: boolean },
): Promise<number> {
  const { stdout, stderr, signal } = context;
  const waited = new Set<string>();
  let code: number | undefined;
  let failed = false;
  let release = (): void => {};
  try {
    for await (const { response } of eru.run(requests, { signal })) {
      switch (response.case) {
        case 'created': {
          const { id, name, node, error } = response.value;
          if (error === '') waited.add(id);
          else say(context, `could not be created: ${error}`);
          failed ||= error !== '';
          if (asynchronous && error === '') say(context, `${name} runs on ${node}`);
          if (stdin && waited.size === 1) release = typeInto(context, requests);
          break;
        }
        case 'output':
          await write(response.value.stderr ? stderr : stdout, response.value.data);
          break;
        case 'exited': {
          const { id, exitCode, error, oomKilled } = response.value;
          waited.delete(id);
          if (error !== '') say(context, `it is not known how it ended: ${error}`);
          if (oomKilled) say(context, 'it had used all of its memory and was killed');
          failed ||= error !== '';
          if (exitCode !== 0) code ??= exitCode;
          break;
        }
        case undefined:
          break; // of a newer core
      }
    }
  } finally {
    release();
    requests.end();
  }
  if (!asynchronous && waited.size > 0) {
    say(context, 'eru: the connection ended before the command did');
    return exitCodes.unreachable;
  }
  return code ?? (failed ? exitCodes.someFailed : exitCodes.ok);
}

/** Sends what stands on standard input; answers what ends that. */
function typeInto({ stdin }: Context, requests: Queue<RunRequest>): () => void {
  const onData = (data: Buffer | string): void => {
    const taken = requests.push({ request: { case: 'stdin', value: Buffer.from(data) } });
    if (taken && requests.size < queuedRequests - 1) return;
    stdin.pause();
    void requests.drained().then(() => stdin.resume());
  };
  const onEnd = (): void => void requests.put({ request: { case: 'closeStdin', value: true } });
  stdin.on('data', onData).once('end', onEnd);
  return () => {
    stdin.off('data', onData).off('end', onEnd);
    stdin.pause();
    if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
  };
}
