import type { eru, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { workOn } from '../work.ts';
import type { Edge } from './edge.ts';
import { archiveOf } from './reading.ts';

const pieceBytes = 64 * 1024;

/** Whole archives, where the original's contract has single files. */
export function eruFileMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  return {
    copyIn: async (requests, { signal }) => {
      const iterator = requests[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done === true || first.value.request.case !== 'open')
        throw new EruError('invalid', 'the first message of CopyIn must be `open`');
      const { id, path } = first.value.request.value;
      await workOn(
        context,
        membership.current(),
        {
          id,
          kind: 'send',
          what: path,
          work: (engine, until) =>
            engine.copyTo(id, path, dataOf(iterator), { signal: until, timeoutMs: Number.POSITIVE_INFINITY }),
        },
        signal,
      );
      return {};
    },

    copyOut: async function* ({ id, path }, { signal }) {
      for await (const piece of archiveOf(context, id, path, signal))
        for (let at = 0; at < piece.length; at += pieceBytes) yield { data: piece.subarray(at, at + pieceBytes) };
    },
  };
}

async function* dataOf(requests: AsyncIterator<eru.CopyInRequest>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const next = await requests.next();
    if (next.done === true) return;
    const { request } = next.value;
    if (request.case === 'data') yield request.value;
    else if (request.case === 'open') throw new EruError('invalid', '`open` comes first, once');
  }
}
