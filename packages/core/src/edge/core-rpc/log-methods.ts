import { pb, type MessageInitShape, type ServiceHandlers } from '@eru/contract';
import type { Engine } from '@eru/engines';
import { EruError } from '@eru/kit';

import { noSuchWorkload } from '../../absent.ts';
import { wholeLog } from '../../operations/log-reader.ts';
import type { Edge } from '../edge.ts';
import { readMoment, readTail } from '../wire/log-times.ts';

type LogMessage = MessageInitShape<typeof pb.LogStreamMessageSchema>;

export function logMethods({ context, closing }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** An error is one message, and the stream ends with OK; so it does when this core stops. */
    logStream: async function* (request, call): AsyncIterable<LogMessage> {
      const { id, follow } = request;
      const signal = AbortSignal.any([call.signal, closing]);
      try {
        const record = context.view.workloads.get(id)?.value;
        if (record === undefined)
          throw id === '' ? new EruError('invalid', 'workload ID is empty') : noSuchWorkload(id);
        const [sinceMs, untilMs, tail] = [
          readMoment('since', request.since, context.clock.now()),
          readMoment('until', request.until, context.clock.now()),
          readTail(request.tail),
        ];
        const engine = (): Engine => {
          const now = context.view.workloads.get(id)?.value;
          if (now === undefined) throw noSuchWorkload(id);
          return context.engineOf(now.node);
        };
        const lines = wholeLog(engine, id, context.clock, {
          follow,
          signal,
          ...(sinceMs !== undefined && { sinceMs }),
          ...(untilMs !== undefined && { untilMs }),
          ...(tail !== undefined && { tail }),
        });
        for await (const { stream, data } of lines)
          yield { id, data, stdStreamType: stream === 'stderr' ? pb.StdStreamType.STDERR : pb.StdStreamType.STDOUT };
      } catch (error) {
        if (!signal.aborted) yield { id, error: EruError.from(error).message };
      }
    },
  };
}
