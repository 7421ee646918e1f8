import { pb, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import type { Session, TerminalSize } from '@eru/engines';
import { EruError, parseJsonObject } from '@eru/kit';

import { noSuchWorkload } from '../../absent.ts';
import type { Edge } from '../edge.ts';
import { Lines } from '../wire/lines.ts';

type AttachMessage = MessageInitShape<typeof pb.AttachWorkloadMessageSchema>;

export function execMethods({ context }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** Section 4.6: what fails after the first message is a message on stdout, without an exit code. */
    executeWorkload: async function* (requests, { signal }): AsyncIterable<AttachMessage> {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true) throw new EruError('invalid', 'the first message must say what to execute');
      const { workloadId, commands, envs, workdir, openStdin } = first.value;
      const say = (data: Uint8Array, type = pb.StdStreamType.STDOUT): AttachMessage => ({
        workloadId,
        data,
        stdStreamType: type,
      });
      let session: Session | undefined;
      try {
        const record = context.view.workloads.get(workloadId)?.value;
        if (record === undefined) throw noSuchWorkload(workloadId);
        session = await context
          .engineOf(record.node)
          .exec(
            workloadId,
            { command: commands, env: envs, dir: workdir, user: '', stdin: openStdin, tty: openStdin },
            { signal },
          );
        if (openStdin) void feed(session, iterator, ({ replCmd }) => replCmd);
        for await (const [stream, data] of openStdin ? raw(session) : byLine(session)) {
          yield say(data, stream === 'stderr' ? pb.StdStreamType.STDERR : pb.StdStreamType.STDOUT);
        }
        yield say(utf8.encode(`[exitcode] ${await session.exit}`));
      } catch (error) {
        if (!signal.aborted) yield say(utf8.encode(EruError.from(error).message));
      } finally {
        await session?.close();
      }
    },
  };
}

type Output = readonly ['stdout' | 'stderr', Uint8Array];

async function* raw(session: Session): AsyncIterable<Output> {
  for await (const { data } of session.output) yield ['stdout', data];
}

async function* byLine(session: Session): AsyncIterable<Output> {
  const lines = { stdout: new Lines(), stderr: new Lines() };
  for await (const { stream, data } of session.output) {
    for (const line of lines[stream].push(data)) yield [stream, line];
  }
  for (const stream of ['stdout', 'stderr'] as const) for (const line of lines[stream].end()) yield [stream, line];
}

/** Passes on what the client types, until it half-closes or the command ends. */
export async function feed<T>(
  session: Session,
  requests: AsyncIterator<T>,
  bytesOf: (request: T) => Uint8Array,
): Promise<void> {
  try {
    for (;;) {
      const next = await requests.next();
      if (next.done === true) break;
      const input = readInput(bytesOf(next.value));
      if (input.type === 'close') break;
      if (input.type === 'resize') await session.resize(input.size);
      else if (input.data.length > 0) await session.write(input.data);
    }
    await session.closeStdin();
  } catch {
    // The command has ended, or the client has gone: the output tells which.
  }
}

export type Input = { type: 'data'; data: Uint8Array } | { type: 'close' } | { type: 'resize'; size: TerminalSize };

/** The first byte says what it is: 0x80 a size as JSON, 0x1d (Ctrl-]) the end, anything else input. */
export function readInput(bytes: Uint8Array): Input {
  if (bytes[0] === 0x1d) return { type: 'close' };
  const size = bytes[0] === 0x80 ? readSize(bytes.subarray(1)) : undefined;
  return size === undefined
    ? { type: 'data', data: bytes[0] === 0x80 ? new Uint8Array() : bytes }
    : { type: 'resize', size };
}

function readSize(json: Uint8Array): TerminalSize | undefined {
  const { Row: rows, Col: cols } = parseJsonObject(new TextDecoder().decode(json)) ?? {};
  return typeof rows === 'number' && typeof cols === 'number' ? { rows, cols } : undefined;
}

const utf8 = new TextEncoder();
