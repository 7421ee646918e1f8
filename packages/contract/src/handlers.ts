import type {
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';

/** What a handler is told about its call, on either face. */
export interface CallContext {
  /** Aborts when the client goes away, its deadline lapses, or the server stops; never after the call has ended. */
  readonly signal: AbortSignal;
  /** The client's deadline, milliseconds since the epoch; absent or Infinity without one. */
  readonly deadline?: number;
  /** Request metadata (HTTP headers). Names are lower-case; the first value where there are several. */
  readonly metadata: { get(name: string): string | undefined };
  /** `ip:port`, or `unix` for a local socket. For logs only. */
  readonly peer: string;
  /** What the client has shown under TLS; only one that its authority has signed and that is valid now gets here. */
  readonly certificate: ClientCertificate | undefined;
  readonly method: DescMethod;
}

export interface ClientCertificate {
  /** Common name of the subject. */
  readonly name: string;
  /** SHA-256 of the certificate, `AB:CD:…`. */
  readonly fingerprint: string;
}

/** Answers may be plain init objects; a made message is sent as it is, without a copy. */
type Handler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, context: CallContext) => Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, context: CallContext) => Promise<MessageInitShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (requests: AsyncIterable<MessageShape<I>>, context: CallContext) => AsyncIterable<MessageInitShape<O>>
          : never;

/** The methods of a service that are there; the others answer `unsupported` (UNIMPLEMENTED). */
export type ServiceHandlers<S extends DescService> = { readonly [K in keyof S['method']]?: Handler<S['method'][K]> };

/** A service with its handlers, ready for `serve`. */
export interface MountedService {
  readonly service: DescService;
  /** By local name of the method; the form depends on the method's kind. */
  readonly handlers: Readonly<Record<string, AnyHandler | undefined>>;
}

/** A handler whose types are known to its method alone. */
export type AnyHandler = (request: never, context: CallContext) => unknown;

/** Ties handlers to the service whose types they have. `this` of a class instance is kept. */
export function mount<S extends DescService>(service: S, handlers: ServiceHandlers<S>): MountedService {
  const bound: Record<string, AnyHandler | undefined> = {};
  for (const method of service.methods) {
    const handler = (handlers as Record<string, AnyHandler | undefined>)[method.localName];
    bound[method.localName] = handler?.bind(handlers);
  }
  return { service, handlers: bound };
}
