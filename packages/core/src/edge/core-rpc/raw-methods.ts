import type { pb, ServiceHandlers } from '@eru/contract';
import { EruError, isEruError } from '@eru/kit';

import { workOn, type Work } from '../../operations/work.ts';
import type { Edge } from '../edge.ts';
import { known } from './workload-methods.ts';

export function rawMethods({ context, membership }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** What only this kind of engine knows. It claims the workload, unless told not to: nobody else knows what it changes. */
    rawEngine: async ({ id, op, params, ignoreLock }, { signal }) => {
      if (id === '') throw new EruError('invalid', 'workload ID is empty');
      if (op === '') throw new EruError('invalid', 'raw engine op is empty');
      const { node } = known(context.view, id);
      let data: Uint8Array = new Uint8Array();
      const work: Work = async (engine, until) => {
        data = await engine.raw(id, op, params, { signal: until });
      };
      try {
        if (ignoreLock) await work(context.engineOf(node), signal);
        else await workOn(context, membership.current(), { id, kind: 'raw', what: op, work }, signal);
      } catch (cause) {
        if (!isEruError(cause, 'unsupported')) throw cause;
        throw new EruError('unsupported', `${cause.message}: not implemented`, { cause });
      }
      return { id, data };
    },
  };
}
