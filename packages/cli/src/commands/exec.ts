import type { eru, MessageInitShape } from '@eru/contract';
import { EruError, Queue } from '@eru/kit';

import { withConnection } from '../connection.ts';
import type { Context, Input, Output } from '../context.ts';
import { exitCodes } from '../context.ts';
import { write } from '../output.ts';
import * as values from '../spec/values.ts';
import { findWorkload } from '../workloads.ts';

interface ExecFlags {
  interactive?: boolean;
  tty?: boolean;
  env?: string[];
  workdir?: string;
  user?: string;
}

type ExecRequest = MessageInitShape<typeof eru.ExecRequestSchema>;

/** Runs a command in a workload and ends with its exit code. */
export async function exec(context: Context, flags: ExecFlags, word: string, rest: string[]): Promise<number> {
  const command = rest[0] === '--' ? rest.slice(1) : rest;
  if (command.length === 0)
    throw new EruError('invalid', 'missing command; write: eru exec <workload> <command> [argument ...]');
  const { interactive = false, tty = false } = flags;
  if (tty && context.stdout.isTTY !== true)
    throw new EruError('invalid', '-t wants a terminal, and standard output is none; leave out -t');
  const env = Object.entries(values.flagged('--env', values.environment, flags.env ?? []));
  const size = sizeOf(context.stdout);
  return withConnection(context, async (connection) => {
    const { record } = await findWorkload(connection, word, context.signal);
    const open = {
      id: record?.id ?? '',
      command,
      env: env.map(([key, value]) => `${key}=${value}`),
      dir: flags.workdir ?? '',
      user: flags.user ?? '',
      stdin: interactive,
      tty,
      ...(tty && size !== undefined ? { size } : {}),
    };
    const requests = new Queue<ExecRequest>(queuedRequests);
    requests.push({ request: { case: 'open', value: open } });
    return runSession(context, connection.eru.exec(requests, { signal: context.signal }), requests, {
      interactive,
      tty,
    });
  });
}

/** The main process's own streams; Ctrl-C leaves it running. */
export async function attach(context: Context, { interactive = false }: ExecFlags, word: string): Promise<number> {
  return withConnection(context, async (connection) => {
    const { record } = await findWorkload(connection, word, context.signal);
    const requests = new Queue<ExecRequest>(queuedRequests);
    const open = async function* (): AsyncGenerator<MessageInitShape<typeof eru.AttachRequestSchema>> {
      yield { request: { case: 'open', value: { id: record?.id ?? '' } } };
      for await (const { request } of requests) if (request?.case !== 'open') yield { ...(request && { request }) };
    };
    const answers = connection.eru.attach(open(), { signal: context.signal });
    return runSession(context, answers, requests, { interactive, tty: false });
  });
}

/** Input waits in the pipe, not in our memory. */
const queuedRequests = 64;

async function runSession(
  context: Context,
  answers: AsyncIterable<eru.ExecResponse>,
  requests: Queue<ExecRequest>,
  { interactive, tty }: { interactive: boolean; tty: boolean },
): Promise<number> {
  const { stdin, stdout, stderr } = context;
  let release = (): void => {};
  try {
    for await (const { response } of answers) {
      switch (response.case) {
        case 'started':
          release = connectTerminal(stdin, stdout, requests, { interactive, tty });
          break;
        case 'stdout':
          await write(stdout, response.value);
          break;
        case 'stderr':
          await write(stderr, response.value);
          break;
        case 'exitCode':
          return response.value;
        case undefined:
          break; // of a newer core
      }
    }
  } finally {
    release();
    requests.end();
  }
  // Nothing is known of how it ended.
  stderr.write('eru: the connection ended before the command did\n');
  return exitCodes.unreachable;
}

/** Sends what is typed and the size of the terminal; answers what puts the terminal back. */
function connectTerminal(
  stdin: Input,
  stdout: Output,
  requests: Queue<ExecRequest>,
  { interactive, tty }: { interactive: boolean; tty: boolean },
): () => void {
  const undo: (() => void)[] = [];
  if (tty) {
    // Node tells a terminal's SIGWINCH as this event.
    const onResize = (): void => {
      const size = sizeOf(stdout);
      if (size !== undefined) requests.push({ request: { case: 'resize', value: size } });
    };
    stdout.on('resize', onResize);
    undo.push(() => stdout.off('resize', onResize));
  }
  if (interactive) {
    const raw = tty && stdin.isTTY === true;
    if (raw) stdin.setRawMode?.(true);
    const onData = (data: Buffer | string): void => {
      const full = !requests.push({ request: { case: 'stdin', value: Buffer.from(data) } });
      if (requests.size < queuedRequests - spareRequests && !full) return;
      stdin.pause();
      void requests.drained().then(() => stdin.resume());
    };
    const onEnd = (): void => void requests.put({ request: { case: 'closeStdin', value: true } });
    stdin.on('data', onData).once('end', onEnd);
    undo.push(() => {
      stdin.off('data', onData).off('end', onEnd);
      if (raw) stdin.setRawMode?.(false);
      stdin.pause();
      // A pipe that is still open would keep the process alive after the command has ended.
      if ('unref' in stdin && typeof stdin.unref === 'function') stdin.unref();
    });
  }
  return () => undo.forEach((step) => step());
}

/** Room that stays for sizes and the end of input. */
const spareRequests = 8;

function sizeOf({ rows, columns }: Output): { rows: number; cols: number } | undefined {
  return rows === undefined || columns === undefined ? undefined : { rows, cols: columns };
}
