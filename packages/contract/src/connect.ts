import type { DescMethod, DescService, Message, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type {
  DescMethodBiDiStreaming,
  DescMethodClientStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
} from '@bufbuild/protobuf';
import { EruError } from '@eru/kit';
import type { ChannelCredentials, ServiceError, StatusObject } from '@grpc/grpc-js';
import { Client as GrpcClient, credentials, Metadata, status } from '@grpc/grpc-js';
import type { EventEmitter } from 'node:events';
import { isIP } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

import type { Init } from './definition.ts';
import { grpcMethod } from './definition.ts';
import { clientCertificate } from './grpc-face.ts';
import type { ClientCertificate } from './handlers.ts';
import { parseEndpoint } from './listen.ts';
import { decodeError, errorKey } from './status.ts';
import { Incoming, pump } from './stream.ts';

export interface ConnectOptions {
  /** Metadata of every call, for instance `{ [username]: password }` (core-rpc.md 1.2). */
  credentials?: Readonly<Record<string, string>>;
  /** Deadline of unary calls that name none; default 30 s. */
  timeoutMs?: number;
  /** How often a silent connection with open calls is tested; default 30 s. A Go server allows no less than 5 min. */
  keepaliveMs?: number;
  /** Absent = clear text. */
  tls?: ClientTls;
  /** Told what the server sends ahead of an answer, call by call. */
  onHeaders?: (headers: { get(name: string): string | undefined }) => void;
  /** Told when a call has ended as `unavailable`: nobody answered, or the server left. */
  onUnavailable?: () => void;
}

/** PEM texts. Without `ca` the machine's own authorities are trusted; `cert` and `key` go together (mTLS). */
export interface ClientTls {
  ca?: string;
  cert?: string;
  key?: string;
  /** The name that the server's certificate must have, where it is not the one in the address. */
  serverName?: string;
  /** Who the server must be, in place of having the name of the address: its authority has been checked. */
  identity?: (certificate: ClientCertificate) => boolean;
}

/** One connection, shared by all clients made from it. It connects at the first call and again after a loss. */
export interface Channel {
  readonly address: string;
  /** Sets one item of the metadata of every later call, or takes it away; running streams keep what they began with. */
  setCredential(key: string, value: string | undefined): void;
  close(): void;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Unary calls: the channel's default when absent, none when Infinity. Streams: none when absent. */
  timeoutMs?: number;
}

type Call<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncIterableIterator<MessageShape<O>>
      : M extends DescMethodClientStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageInitShape<I>>, options?: CallOptions) => Promise<MessageShape<O>>
        : M extends DescMethodBiDiStreaming<infer I, infer O>
          ? (
              requests: AsyncIterable<MessageInitShape<I>>,
              options?: CallOptions,
            ) => AsyncIterableIterator<MessageShape<O>>
          : never;

/** Failures are EruErrors: those of an Eru server as they were thrown, others by their gRPC code. */
export type Client<S extends DescService> = { readonly [K in keyof S['method']]: Call<S['method'][K]> };

class GrpcChannel implements Channel {
  readonly address: string;
  readonly grpc: GrpcClient;
  readonly metadata = new Metadata();
  readonly timeoutMs: number;
  readonly #onHeaders: ConnectOptions['onHeaders'];
  readonly #onUnavailable: ConnectOptions['onUnavailable'];

  constructor(address: string, options: ConnectOptions) {
    const endpoint = parseEndpoint(address);
    this.address = address;
    this.timeoutMs = options.timeoutMs ?? 30_000;
    this.#onHeaders = options.onHeaders;
    this.#onUnavailable = options.onUnavailable;
    for (const [key, value] of Object.entries(options.credentials ?? {})) setCredential(this.metadata, key, value);
    const target = 'path' in endpoint ? `unix:${endpoint.path}` : `dns:${address}`;
    const host = 'path' in endpoint ? '' : endpoint.host;
    this.grpc = new GrpcClient(target, transport(options.tls, host), {
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
      'grpc.keepalive_time_ms': options.keepaliveMs ?? 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
      // The default backs off to two minutes, in which every call fails at once although the server is back.
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 2_000,
      'grpc.use_local_subchannel_pool': 1, // so that close() closes this connection and no other one
      'grpc.enable_http_proxy': 0, // the fleet's own addresses; a proxy of the environment is for the world
      ...(options.tls !== undefined && serverName(options.tls, host)),
    });
  }

  /** The same call, its headers and its end told. */
  heard<C extends EventEmitter>(call: C): C {
    const tell = this.#onHeaders;
    if (tell !== undefined)
      call.once('metadata', (metadata: Metadata) => tell({ get: (name) => metadata.get(name)[0]?.toString() }));
    const doubt = this.#onUnavailable;
    if (doubt !== undefined)
      call.once('status', ({ code }: StatusObject) => {
        if (code === status.UNAVAILABLE) doubt();
      });
    return call;
  }

  setCredential(key: string, value: string | undefined): void {
    if (value === undefined) this.metadata.remove(key);
    else setCredential(this.metadata, key, value);
  }

  close(): void {
    this.grpc.close();
  }
}

/** An address in figures cannot be asked for by name (RFC 6066, 3): another name is sent, and the address is checked. */
const unnamed = 'eru.invalid';

/** Asks a server for the certificate by which it is known to who does not go by its address. */
export const identityName = 'identity.eru.invalid';

function serverName(tls: ClientTls, host: string): { 'grpc.ssl_target_name_override'?: string } {
  const unasked = isIP(host) > 0 ? unnamed : undefined;
  const name = tls.serverName ?? (tls.identity === undefined ? unasked : identityName);
  return name === undefined ? {} : { 'grpc.ssl_target_name_override': name };
}

function transport(tls: ClientTls | undefined, host: string): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { ca, cert, key, identity } = tls;
  if ((cert === undefined) !== (key === undefined))
    throw new EruError('invalid', 'tls: a certificate and its key go together; give both, or neither');
  try {
    return credentials.createSsl(pem(ca), pem(key), pem(cert), {
      checkServerIdentity: (name, certificate) =>
        identity === undefined
          ? checkServerIdentity(name === unnamed ? host : name, certificate)
          : recognised(certificate, identity),
    });
  } catch (cause) {
    throw new EruError('invalid', `tls: the certificate or key cannot be used: ${EruError.from(cause).message}`, {
      cause,
    });
  }
}

function recognised(shown: PeerCertificate, identity: NonNullable<ClientTls['identity']>): Error | undefined {
  const certificate = clientCertificate(shown);
  if (certificate !== undefined && identity(certificate)) return undefined;
  return new Error(
    `it shows a certificate of ${certificate?.name ?? 'nobody'}, which is not, or no longer, the one meant`,
  );
}

function pem(text: string | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text);
}

function setCredential(metadata: Metadata, key: string, value: string): void {
  try {
    metadata.set(key, value);
  } catch (cause) {
    // The value is a secret: it is not shown.
    const expected = 'the name may have letters, digits, "_", "-" and ".", the value printable ASCII';
    throw new EruError('invalid', `credential ${JSON.stringify(key)} cannot be sent: ${expected}`, { cause });
  }
}

/** `host:port`, `[v6]:port` or `unix:///path`; nothing is sent before the first call. */
export function connect(address: string, options: ConnectOptions = {}): Channel {
  return new GrpcChannel(address, options);
}

/** The calls of a service over a channel. Streams begin when they are called, not when they are read. */
export function client<S extends DescService>(service: S, channel: Channel): Client<S> {
  if (!(channel instanceof GrpcChannel)) throw new EruError('internal', 'not a channel made by connect()');
  const calls = service.methods.map((method) => [method.localName, callOf(method, channel)] as const);
  return Object.fromEntries(calls) as Client<S>;
}

function callOf(method: DescMethod, channel: GrpcChannel): unknown {
  const { path, requestSerialize, responseDeserialize } = grpcMethod(method);
  const { grpc, metadata } = channel;
  const args = [path, requestSerialize, responseDeserialize] as const;
  switch (method.methodKind) {
    case 'unary':
      return (request: Init, options: CallOptions = {}) =>
        single(options, channel.timeoutMs, (deadline, done) =>
          channel.heard(grpc.makeUnaryRequest(...args, request, metadata, deadline, done)),
        );
    case 'client_streaming':
      return (requests: AsyncIterable<Init>, options: CallOptions = {}) => {
        const stop = new AbortController();
        return single(options, Number.POSITIVE_INFINITY, (deadline, done) => {
          const call = grpc.makeClientStreamRequest(...args, metadata, deadline, done);
          send(requests, call, stop.signal);
          return call;
        }).finally(() => stop.abort());
      };
    case 'server_streaming':
      return (request: Init, options: CallOptions = {}) => {
        const call = grpc.makeServerStreamRequest(...args, request, metadata, deadlineOf(options.timeoutMs));
        return receive(channel.heard(call), options.signal);
      };
    case 'bidi_streaming':
      return (requests: AsyncIterable<Init>, options: CallOptions = {}) => {
        const call = grpc.makeBidiStreamRequest(...args, metadata, deadlineOf(options.timeoutMs));
        const stop = new AbortController();
        const answers = receive(call, options.signal, () => stop.abort());
        send(requests, call, stop.signal, (error) => answers.abort(EruError.from(error)));
        return answers;
      };
  }
}

type Done = (error: ServiceError | null, value?: Message) => void;

/** One answer, whatever was sent. */
function single(
  { signal, timeoutMs }: CallOptions,
  defaultMs: number,
  begin: (deadline: { deadline?: number }, done: Done) => { cancel(): void },
): Promise<Message> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(EruError.from(signal.reason));
    const onAbort = (): void => {
      reject(EruError.from(signal?.reason));
      call.cancel();
    };
    const call = begin(deadlineOf(timeoutMs ?? defaultMs), (error, value) => {
      signal?.removeEventListener('abort', onAbort);
      if (error !== null) reject(errorOf(error));
      else resolve(value as Message);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Many answers. Leaving the loop cancels the call. */
function receive(
  call: Readable & { cancel(): void },
  signal: AbortSignal | undefined,
  onEnd?: () => void,
): Incoming<Message> {
  const answers = new Incoming<Message>(call, () => call.cancel());
  const onAbort = (): void => {
    answers.abort(EruError.from(signal?.reason));
    call.cancel();
  };
  call.on('error', (error) => answers.end(errorOf(error as ServiceError)));
  call.once('status', () => {
    signal?.removeEventListener('abort', onAbort);
    onEnd?.();
  });
  if (signal?.aborted) onAbort();
  else signal?.addEventListener('abort', onAbort, { once: true });
  return answers;
}

/** Sends in the background; a producer that fails cancels the call. */
function send(
  requests: AsyncIterable<Init>,
  call: Writable & { cancel(): void },
  stopped: AbortSignal,
  onError?: (error: unknown) => void,
): void {
  pump(requests, call, stopped).then(
    () => {
      if (!stopped.aborted) call.end();
    },
    (error: unknown) => {
      onError?.(error);
      call.cancel();
    },
  );
}

function deadlineOf(timeoutMs = Number.POSITIVE_INFINITY): { deadline?: number } {
  return Number.isFinite(timeoutMs) ? { deadline: Date.now() + timeoutMs } : {};
}

function errorOf(error: ServiceError): EruError {
  return decodeError(error.code, plainly(error.details ?? error.message), error.metadata?.get(errorKey)[0], error);
}

/** The reason of a failed connection or a lapsed deadline, without the story that grpc-js wraps around it. */
function plainly(message: string): string {
  const seconds = /^Deadline exceeded after ([\d.]+)s/.exec(message)?.[1];
  if (seconds !== undefined) return `no answer within ${Math.round(Number(seconds) * 10) / 10} s`;
  return /^No connection established\. Last error: (?:Error: )?(.*?)\.? Resolution note:/.exec(message)?.[1] ?? message;
}
