import type { eru, ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { workOn, type Work } from '../../operations/work.ts';
import type { Edge } from '../edge.ts';
import { Branch, finish, giveAll, uploaded } from '../fan-out.ts';
import { archiveOf } from '../reading.ts';

const pieceBytes = 64 * 1024;

/** Whole archives, where the original's contract has single files. */
export function eruFileMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  const pace = { clock: context.clock, idleMs: context.limits.transferIdleMs };
  return {
    copyIn: async (requests, { signal }) => {
      const iterator = uploaded(requests, pace);
      const first = await iterator.next();
      if (first.done === true || first.value.request.case !== 'open')
        throw new EruError('invalid', 'the first message of CopyIn must be `open`');
      const { id, path } = first.value.request.value;
      const branch = new Branch();
      const work: Work = (engine, until) =>
        engine.copyTo(id, path, branch.pieces, { signal: until, timeoutMs: Number.POSITIVE_INFINITY });
      const until = AbortSignal.any([signal, branch.signal]);
      const done = workOn(context, membership.current(), { id, kind: 'send', what: path, work }, until);
      const left = (): void => void branch.pieces.return();
      done.then(left, left);
      try {
        for await (const data of dataOf(iterator)) {
          if (!branch.live) break;
          await giveAll(data, [branch], pace);
        }
        finish(branch, done, pace);
      } catch (error) {
        branch.fail(EruError.from(error));
      }
      await done;
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
