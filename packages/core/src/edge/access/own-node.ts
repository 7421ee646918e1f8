import type { CallContext, MountedService } from '@eru/contract';
import { EruError } from '@eru/kit';

import { refusalOf, type NodeCaller } from '../../nodes/certificates.ts';
import type { ClusterView } from '../../state/view.ts';
import { methodName, ofNodes } from './roles.ts';

type Handler = NonNullable<MountedService['handlers'][string]>;

/**
 * The same service, in which the machine of a node speaks of its own node only, and for as long as its certificate stands in
 * the node's record: when it ceases to, calls that are open end.
 */
export function forOwnNode(
  { service, handlers }: MountedService,
  view: ClusterView,
  callerOf: (call: CallContext) => NodeCaller | undefined,
): MountedService {
  const wrap = (handler: Handler): Handler => {
    return (request: never, call: CallContext) => {
      const caller = callerOf(call);
      if (caller === undefined) return handler(request, call);
      checkOwn(request, call, caller);
      return call.method.methodKind === 'server_streaming'
        ? whileGood(
            view,
            caller,
            call,
            (signal) => handler(request, withSignal(call, signal)) as AsyncIterable<unknown>,
          )
        : handler(request, call);
    };
  };
  const wrapped = Object.entries(handlers).map(([name, handler]) => [name, handler && wrap(handler)] as const);
  return { service, handlers: Object.fromEntries(wrapped) };
}

function checkOwn(request: Readonly<Record<string, unknown>>, { method }: CallContext, { node }: NodeCaller): void {
  const field = ofNodes[methodName(method)];
  if (typeof field !== 'string' || request[field] === node) return;
  throw new EruError('forbidden', `${field}: a machine of node ${node} speaks of no other node`, {
    details: { field },
  });
}

async function* whileGood(
  view: ClusterView,
  caller: NodeCaller,
  call: CallContext,
  open: (signal: AbortSignal) => AsyncIterable<unknown>,
): AsyncIterable<unknown> {
  const dead = new AbortController();
  const unsubscribe = view.subscribe(({ table, name }) => {
    if (table !== 'nodes' || name !== caller.node) return;
    const refused = refusalOf(view, caller);
    if (refused !== undefined) dead.abort(refused);
  });
  try {
    yield* open(AbortSignal.any([call.signal, dead.signal]));
    dead.signal.throwIfAborted();
  } finally {
    unsubscribe();
  }
}

/** Calls are objects with private parts, so none can be made from another by spreading. */
function withSignal(call: CallContext, signal: AbortSignal): CallContext {
  return {
    signal,
    ...(call.deadline !== undefined && { deadline: call.deadline }),
    metadata: call.metadata,
    peer: call.peer,
    certificate: call.certificate,
    method: call.method,
  };
}
