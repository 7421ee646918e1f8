import type { DescMethod } from '@bufbuild/protobuf';
import { EruError } from '@eru/kit';
import type { UntypedHandleCall, UntypedServiceImplementation } from '@grpc/grpc-js';
import { Metadata, Server } from '@grpc/grpc-js';
import type { EventEmitter } from 'node:events';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { PeerCertificate } from 'node:tls';

import { grpcMethod } from './definition.ts';
import type { AnyHandler, CallContext, ClientCertificate, MountedService } from './handlers.ts';
import type { Status } from './status.ts';
import { encodeError, errorKey, retryAfter, wireMessage } from './status.ts';
import { Incoming, pump } from './stream.ts';

/** What both faces do with every call. */
export interface Edge {
  /** Throws to refuse a call; runs before the handler. */
  authenticate(context: CallContext): void | Promise<void>;
  /** Sent ahead of the answer. */
  headers(context: CallContext): Readonly<Record<string, string>> | undefined;
  toStatus(error: unknown, method: DescMethod): Status;
  maxReceiveBytes: number;
  maxStreams: number;
}

/** The grpc-js server of these services; connections come from an injector. */
export function grpcServer(services: readonly MountedService[], edge: Edge): Server {
  const server = new Server({
    'grpc.max_receive_message_length': edge.maxReceiveBytes,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': edge.maxStreams,
    // A client that vanished without a word must not hold its watches for ever.
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
  });
  for (const { service, handlers } of services) {
    const implementation: UntypedServiceImplementation = {};
    for (const method of service.methods) {
      implementation[method.localName] = grpcHandler(method, handlers[method.localName], edge) as UntypedHandleCall;
    }
    const definition = Object.fromEntries(service.methods.map((method) => [method.localName, grpcMethod(method)]));
    server.addService(definition, implementation);
  }
  return server;
}

// The four call types of grpc-js differ in what they are streams of; this is what all of them have.
interface AnyCall extends EventEmitter {
  metadata: Metadata;
  cancelled: boolean;
  request: never;
  sendMetadata(metadata: Metadata): void;
  getPeer(): string;
  getAuthContext(): { sslPeerCertificate?: PeerCertificate };
  getDeadline(): Date | number;
}
type Answer = (error: object | null, value?: unknown) => void;

function grpcHandler(method: DescMethod, handler: AnyHandler | undefined, edge: Edge): unknown {
  const manyAnswers = method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming';
  const manyRequests = method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming';

  const run = async (call: AnyCall, answer?: Answer): Promise<void> => {
    const context = new GrpcContext(method, call);
    try {
      const admitted = edge.authenticate(context);
      if (admitted !== undefined) await admitted;
      const headers = edge.headers(context);
      if (headers !== undefined) call.sendMetadata(metadataOf(headers));
      if (handler === undefined) throw notImplemented(method);
      const request = manyRequests ? requestsOf(call, context) : call.request;
      if (manyAnswers) {
        const answers = handler(request as never, context) as AsyncIterable<unknown>;
        const sink = call as unknown as Writable;
        await pump(answers, sink, context.signal);
        context.end();
        if (!call.cancelled) sink.end();
      } else {
        const value = await handler(request as never, context);
        context.end();
        answer?.(null, value);
      }
    } catch (error) {
      context.end();
      if (call.cancelled) return;
      const failure = failureOf(error, method, edge);
      if (answer === undefined) call.emit('error', failure);
      else answer(failure);
    }
  };
  return (call: AnyCall, answer?: Answer) => void run(call, answer);
}

/** The request stream of a call. A handler that stops reading does not end the call by that. */
function requestsOf(call: AnyCall, context: GrpcContext): Incoming<unknown> {
  const requests = new Incoming<unknown>(call as unknown as Readable, () => (call as unknown as Duplex).resume());
  context.signal.addEventListener('abort', () => requests.abort(context.signal.reason), { once: true });
  return requests;
}

function metadataOf(headers: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}

function failureOf(thrown: unknown, method: DescMethod, edge: Edge): object {
  const error = EruError.from(thrown);
  const status = edge.toStatus(thrown, method);
  const metadata = new Metadata();
  metadata.set(errorKey, encodeError(error));
  const seconds = retryAfter(error);
  if (seconds !== undefined) metadata.set('retry-after', seconds);
  return Object.assign(new Error(status.message), {
    code: status.code,
    details: wireMessage(status.message),
    metadata,
  });
}

export function clientCertificate(shown: PeerCertificate | undefined): ClientCertificate | undefined {
  if (shown?.fingerprint256 === undefined) return undefined;
  return { name: String(shown.subject.CN), fingerprint: shown.fingerprint256 };
}

export function notImplemented(method: DescMethod): EruError {
  return new EruError('unsupported', `${method.parent.typeName}/${method.name} is not implemented by this server`);
}

/** The signal is made when somebody asks for it: most unary calls never do. */
class GrpcContext implements CallContext {
  readonly method: DescMethod;
  readonly #call: AnyCall;
  #controller: AbortController | undefined;
  #ended = false;

  constructor(method: DescMethod, call: AnyCall) {
    this.method = method;
    this.#call = call;
    // grpc-js says "cancelled" after a good end, too.
    call.once('cancelled', () => {
      if (!this.#ended) this.#controller?.abort(this.#reason());
    });
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#call.cancelled && !this.#ended) this.#controller.abort(this.#reason());
    }
    return this.#controller.signal;
  }

  get deadline(): number {
    return Number(this.#call.getDeadline());
  }

  get metadata(): { get(name: string): string | undefined } {
    return { get: (name) => this.#call.metadata.get(name)[0]?.toString() };
  }

  get certificate(): ClientCertificate | undefined {
    return clientCertificate(this.#call.getAuthContext().sslPeerCertificate);
  }

  get peer(): string {
    const peer = this.#call.getPeer();
    return peer === 'unknown' ? 'unix' : peer;
  }

  end(): void {
    this.#ended = true;
  }

  #reason(): EruError {
    return this.deadline <= Date.now()
      ? new EruError('timeout', 'the deadline of the call has passed')
      : new EruError('canceled', 'the client ended the call');
  }
}
