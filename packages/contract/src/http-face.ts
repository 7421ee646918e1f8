import type { DescMethod, JsonObject } from '@bufbuild/protobuf';
import { fromJson } from '@bufbuild/protobuf';
import { StructSchema } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import { ConnectError, createContextKey, createContextValues } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { EruError } from '@eru/kit';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

import { clientCertificate, notImplemented } from './grpc-face.ts';
import type { Edge } from './grpc-face.ts';
import type { AnyHandler, CallContext, MountedService } from './handlers.ts';
import { retryAfter, statusOf, wireMessage } from './status.ts';

/**
 * The same services as JSON over HTTP/1.1: `POST /pb.CoreRPC/<Method>` with `content-type: application/json`, and Connect's
 * own protocol for its clients. Other simple content types get 415, so a foreign web page cannot send a call without
 * asking first.
 */
export function httpHandler(
  services: readonly MountedService[],
  edge: Edge,
): (request: IncomingMessage, response: ServerResponse) => void {
  return connectNodeAdapter({
    routes: (router: ConnectRouter) => {
      for (const { service, handlers } of services) {
        for (const method of service.methods) {
          router.rpc(method as never, connectHandler(method, handlers[method.localName], edge) as never);
        }
      }
    },
    grpc: false, // gRPC has its own way in, by the first bytes of the connection
    contextValues: ({ socket }) => createContextValues().set(connectionKey, socket as Socket),
    readMaxBytes: edge.maxReceiveBytes,
    jsonOptions: { ignoreUnknownFields: false }, // a misspelt field is an error, not a default
  });
}

function connectHandler(method: DescMethod, handler: AnyHandler | undefined, edge: Edge): unknown {
  if (method.methodKind === 'unary' || method.methodKind === 'client_streaming') {
    return async (request: never, connect: HandlerContext): Promise<unknown> => {
      const context = contextOf(method, connect);
      try {
        await edge.authenticate(context);
        announce(edge, context, connect);
        if (handler === undefined) throw notImplemented(method);
        return await handler(request, context);
      } catch (error) {
        throw connectError(error, method, edge);
      }
    };
  }
  return async function* (request: never, connect: HandlerContext): AsyncIterable<unknown> {
    const context = contextOf(method, connect);
    try {
      await edge.authenticate(context);
      announce(edge, context, connect);
      if (handler === undefined) throw notImplemented(method);
      yield* handler(request, context) as AsyncIterable<unknown>;
    } catch (error) {
      throw connectError(error, method, edge);
    }
  };
}

function announce(edge: Edge, context: CallContext, { responseHeader }: HandlerContext): void {
  for (const [name, value] of Object.entries(edge.headers(context) ?? {})) responseHeader.set(name, value);
}

/** The connection that a request came on. */
const connectionKey = createContextKey<Socket | undefined>(undefined);

function contextOf(method: DescMethod, connect: HandlerContext): CallContext {
  const timeoutMs = connect.timeoutMs();
  const socket = connect.values.get(connectionKey);
  return {
    method,
    signal: connect.signal,
    ...(timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs }),
    metadata: { get: (name) => connect.requestHeader.get(name) ?? undefined },
    ...peerOf(socket),
  };
}

/** What a connection tells of its other side. */
export function peerOf(socket: Socket | undefined): Pick<CallContext, 'peer' | 'certificate'> {
  const shown = socket instanceof TLSSocket && socket.authorized ? socket.getPeerCertificate() : undefined;
  return {
    peer: socket?.remoteAddress === undefined ? 'unix' : `${socket.remoteAddress}:${socket.remotePort}`,
    certificate: clientCertificate(shown),
  };
}

/** Connect knows the sixteen standard codes only: the nearest one, with the number itself in a detail. */
export function connectError(thrown: unknown, method: DescMethod, edge: Edge): ConnectError {
  if (thrown instanceof ConnectError) return thrown; // the adapter's own: a body that cannot be read, a lost client
  const error = EruError.from(thrown);
  const status = edge.toStatus(thrown, method);
  const standard = status.code >= 1 && status.code <= 16 ? status.code : statusOf(error).code;
  const value = { grpc_code: status.code, eru_code: error.code, details: asJson(error.details) };
  const detail = { desc: StructSchema, value: fromJson(StructSchema, value) };
  const seconds = retryAfter(error);
  const headers = seconds === undefined ? undefined : { 'retry-after': seconds };
  return new ConnectError(wireMessage(status.message), standard, headers, [detail], error);
}

function asJson(details: Readonly<Record<string, unknown>>): JsonObject {
  try {
    return JSON.parse(JSON.stringify(details)) as JsonObject;
  } catch {
    return {}; // details that are not JSON must not cost the caller the error
  }
}
