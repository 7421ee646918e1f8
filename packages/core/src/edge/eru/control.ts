import { eru, type DescMessage, type MessageShape, type ServiceHandlers } from '@eru/contract';
import { EruError } from '@eru/kit';

import { controlWorkload } from '../../operations/control.ts';
import { dissociateWorkload } from '../../operations/dissociate.ts';
import { removeWorkload } from '../../operations/remove.ts';
import { hookOf, once, type RequestKey } from '../../operations/requests.ts';
import type { Edge } from '../edge.ts';
import { requestKey } from '../wire/request-key.ts';
import { controlTypeOf, noIds, outcomes, rethrowUnknown } from '../core-rpc/workload-methods.ts';

interface Event {
  id: string;
  success: boolean;
  error?: string;
  hook?: Uint8Array;
}

/** What is done to each of several workloads, as an operation of its own. */
export function eruControlMethods({ context, membership }: Edge): ServiceHandlers<typeof eru.Eru> {
  /** `one` answers what hooks have printed. */
  const each = <S extends DescMessage>(
    schema: S,
    request: MessageShape<S> & { ids: string[]; idempotencyKey: string },
    signal: AbortSignal,
    one: (id: string, key: RequestKey | undefined) => Promise<Uint8Array>,
  ): AsyncIterable<Event> => {
    const { ids } = request;
    if (ids.length === 0) throw new EruError('invalid', noIds);
    const keyed = new Map(ids.map((id) => [id, requestKey(schema, request, id)]));
    return outcomes([...keyed], async ([id, key], tell: (event: Event) => void) => {
      try {
        tell({ id, success: true, hook: await once(context, key, signal, () => one(id, key), hookOf) });
      } catch (error) {
        rethrowUnknown(error);
        tell({ id, success: false, error: EruError.from(error).message });
      }
    });
  };
  return {
    remove: (wire, { signal }) => {
      const { force, grace } = wire;
      if (grace < 0)
        throw new EruError('invalid', 'grace: write a number of seconds, or 0 for the default of the engine');
      const tenure = membership.current();
      const graceMs = force ? 0 : grace > 0 ? grace * 1000 : null;
      return each(eru.RemoveRequestSchema, wire, signal, (id, request) =>
        removeWorkload(context, tenure, { id, force, stop: true, graceMs, request }, signal),
      );
    },

    control: (wire, { signal }) => {
      const type = controlTypeOf(wire.type);
      const tenure = membership.current();
      return each(eru.ControlRequestSchema, wire, signal, (id, request) =>
        controlWorkload(context, tenure, { id, type, force: wire.force, request }, signal),
      );
    },

    dissociate: (wire, { signal }) => {
      const tenure = membership.current();
      return each(eru.DissociateRequestSchema, wire, signal, async (id, request) => {
        await dissociateWorkload(context, tenure, { id, request }, signal);
        return new Uint8Array();
      });
    },
  };
}
