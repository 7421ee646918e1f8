import type { eru, MessageInitShape, ServiceHandlers } from '@eru/contract';
import type { Engine, Session, TerminalSize } from '@eru/engines';
import { EruError } from '@eru/kit';

import type { Edge } from '../edge.ts';

type ExecResponse = MessageInitShape<typeof eru.ExecResponseSchema>;

type Requests = AsyncIterator<
  Pick<eru.ExecRequest, 'request'> | Pick<eru.AttachRequest, 'request'> | Pick<eru.RunRequest, 'request'>
>;

export function eruExecMethods({ context }: Edge): ServiceHandlers<typeof eru.Eru> {
  const engineOf = (id: string): Engine => {
    const record = context.view.workloads.get(id)?.value;
    if (record === undefined) throw new EruError('not_found', `no workload has the id ${id}`, { details: { id } });
    return context.engineOf(record.node);
  };
  return {
    exec: async function* (requests, { signal }): AsyncIterable<ExecResponse> {
      const iterator = requests[Symbol.asyncIterator]();
      const { id, command, env, dir, user, stdin, tty, size } = await opening(iterator);
      const spec = { command, env, dir, user, stdin, tty, ...(size !== undefined && { size: sizeOf(size) }) };
      yield* relayed(await engineOf(id).exec(id, spec, { signal }), iterator);
    },

    attach: async function* (requests, { signal }): AsyncIterable<ExecResponse> {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true || first.value.request.case !== 'open')
        throw new EruError('invalid', 'the first message of Attach must be `open`');
      const { id } = first.value.request.value;
      yield* relayed(await engineOf(id).attach(id, { signal }), iterator);
    },
  };
}

/** What a session prints, and how it ends; input goes in meanwhile. */
async function* relayed(session: Session, requests: Requests): AsyncIterable<ExecResponse> {
  const failed = new AbortController();
  try {
    yield { response: { case: 'started', value: {} } };
    feedSession(session, requests).catch((error: unknown) => {
      failed.abort(error);
      void session.close();
    });
    for await (const { stream, data } of session.output) yield { response: { case: stream, value: data } };
    const exitCode = await session.exit;
    failed.signal.throwIfAborted();
    yield { response: { case: 'exitCode', value: exitCode } };
  } finally {
    await session.close();
  }
}

async function opening(requests: AsyncIterator<eru.ExecRequest>): Promise<eru.ExecOpen> {
  const first = await requests.next();
  if (first.done === true || first.value.request.case !== 'open')
    throw new EruError('invalid', 'the first message of Exec must be `open`');
  const open = first.value.request.value;
  if (open.command.length === 0)
    throw new EruError('invalid', 'command: empty; write a program and its arguments', {
      details: { field: 'command' },
    });
  return open;
}

/** Passes on input until the client has closed it; afterwards only sizes. @throws EruError `invalid` for a message that may not come */
export async function feedSession(session: Session, requests: Requests): Promise<void> {
  for (;;) {
    const next = await ended(requests.next());
    if (next === undefined || next.done === true) return quietly(session.closeStdin());
    const { request } = next.value;
    switch (request.case) {
      case 'stdin':
        await quietly(session.write(request.value));
        break;
      case 'closeStdin':
        await quietly(session.closeStdin());
        break;
      case 'resize':
        await quietly(session.resize(sizeOf(request.value)));
        break;
      case 'open':
        throw new EruError('invalid', '`open` comes first, once');
      case undefined:
        break;
    }
  }
}

/** A command that has ended takes nothing any more; its output and exit code tell so. */
async function quietly(effect: Promise<void>): Promise<void> {
  await effect.catch(() => {});
}

/** The call itself is over: whoever reads the output is told why. */
async function ended<T>(next: Promise<T>): Promise<T | undefined> {
  return next.catch(() => undefined);
}

function sizeOf({ rows, cols }: eru.TerminalSize): TerminalSize {
  return { rows, cols };
}
