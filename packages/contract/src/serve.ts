import type { DescMethod } from '@bufbuild/protobuf';
import { EruError } from '@eru/kit';
import { ServerCredentials } from '@grpc/grpc-js';
import type { IncomingMessage, ServerResponse } from 'node:http';
import http from 'node:http';
import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';

import { beginsHttp2, beginsTls, byFirstBytes, firstBytesMs } from './first-bytes.ts';
import type { KeyPair } from './certificates.ts';
import { identityName } from './connect.ts';
import type { Edge } from './grpc-face.ts';
import { grpcServer } from './grpc-face.ts';
import type { CallContext, MountedService } from './handlers.ts';
import { healthService } from './health.ts';
import { httpHandler } from './http-face.ts';
import { jsonLines } from './json-lines.ts';
import { listen, parseEndpoint } from './listen.ts';
import { foreignRequest } from './origin.ts';
import { reflectionServices } from './reflection.ts';
import type { Status } from './status.ts';
import { statusOf } from './status.ts';

export interface ServeOptions {
  /** `host:port` (port 0 takes a free one), `:port` for all interfaces, or `unix:///path`. */
  listen: string;
  services: readonly MountedService[];
  /** Throws to refuse a call. Asked for every call on both faces, health and reflection included. */
  authenticate?: (context: CallContext) => void | Promise<void>;
  /** Other HTTP paths (`/metrics`, `/healthz`); true when it took the request. Not behind `authenticate`. */
  http?: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** What goes ahead of the answer of a call, as metadata or HTTP headers; asked for every call that was let in. */
  headers?: (context: CallContext) => Readonly<Record<string, string>> | undefined;
  /** Where the contract has codes of its own; the default is `statusOf`. */
  toStatus?: (error: unknown, method: DescMethod) => Status;
  /** Largest request message; default 20 MiB, as the original. */
  maxReceiveBytes?: number;
  /** Concurrent calls of one connection; default 100, as the original. */
  maxStreams?: number;
  /** Absent = clear text. */
  tls?: ServerTls;
  /** Names under which browsers and curl may call this server, besides `localhost` and addresses in figures. */
  hostNames?: readonly string[];
}

/** PEM texts. */
export interface ServerTls {
  cert: string;
  key: string;
  /**
   * Clients may show a certificate of this authority; handlers find it in their context. Without one they get in, too, so
   * that `authenticate` can take another credential; with one that is not good they do not.
   */
  clientCa?: string;
  /** Shown instead to who knows this server by its authority and not by its address (`ClientTls.identity`). */
  byIdentity?: KeyPair;
  /** Who does not begin with a handshake is served in clear text, on the same port. */
  alsoClear?: boolean;
}

export interface Serving {
  /** As clients write it: `host:port` with the real port, or `unix:///path`. */
  readonly address: string;
  /** For new connections, in place of what `serve` was given: certificates are renewed. */
  setTls(tls: ServerTls): void;
  /** Refuses new calls at once, gives running ones `graceMs` (default 0), then ends them. Idempotent. */
  close(options?: { graceMs?: number }): Promise<void>;
}

/**
 * One port for gRPC, Connect JSON and plain HTTP, in clear text or under TLS. Throws `busy`, `invalid` or `precondition`
 * when it cannot listen, `invalid` for certificates that cannot be used.
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const endpoint = parseEndpoint(options.listen);
  const edge: Edge = {
    authenticate: options.authenticate ?? (() => {}),
    headers: options.headers ?? (() => undefined),
    toStatus: options.toStatus ?? statusOf,
    maxReceiveBytes: options.maxReceiveBytes ?? 20 * 1024 * 1024,
    maxStreams: options.maxStreams ?? 100,
  };
  const health = healthService(options.services.map(({ service }) => service.typeName));
  const offered = [...options.services, health.service];
  const services = [...offered, ...reflectionServices(offered.map(({ service }) => service))];

  const grpc = grpcServer(services, edge);
  const injector = grpc.createConnectionInjector(ServerCredentials.createInsecure());
  const rpc = httpHandler(services, edge);
  const streams = jsonLines(services, edge);
  const server = http.createServer((request, response) => {
    const foreign = foreignRequest(request, options.hostNames ?? []);
    if (foreign !== undefined)
      response.writeHead(403, { 'content-type': 'text/plain; charset=utf-8' }).end(`${foreign}\n`);
    else if (options.http?.(request, response) !== true && !streams(request, response)) rpc(request, response);
  });
  const secure = options.tls && tlsServer(options.tls);
  const alsoClear = options.tls?.alsoClear === true;
  const { door, sockets } = doorTo(server, secure?.server, alsoClear, (socket) => injector.injectConnection(socket));
  const address = await listen(door, endpoint);

  let closing: Promise<void> | undefined;
  const close = async (graceMs: number): Promise<void> => {
    health.stop();
    const closed = new Promise<void>((resolve) => door.close(() => resolve()));
    const drained = new Promise<void>((resolve) => grpc.tryShutdown(() => resolve()));
    const force = setTimeout(() => {
      grpc.forceShutdown();
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await Promise.all([closed, drained]);
    clearTimeout(force);
  };
  return {
    address,
    setTls: (next) => secure?.set(next),
    close: ({ graceMs = 0 } = {}) => (closing ??= close(graceMs)),
  };
}

/**
 * Decrypts, and agrees with each client on what it will speak. Browsers and curl offer both protocols and mean HTTP; a gRPC
 * client offers `h2` alone.
 */
function tlsServer(options: ServerTls): { server: tls.Server; set(options: ServerTls): void } {
  let byIdentity = identityContext(options);
  const server = tls.createServer({
    ...contextOptions(options),
    requestCert: options.clientCa !== undefined,
    rejectUnauthorized: false, // no certificate at all is for `authenticate` to judge; a bad one is refused below
    handshakeTimeout: firstBytesMs,
    SNICallback: (name, answer) => answer(null, name === identityName ? byIdentity : undefined),
    ALPNCallback: ({ protocols }) => ['http/1.1', 'h2'].find((protocol) => protocols.includes(protocol)),
  });
  const set = (next: ServerTls): void => {
    byIdentity = identityContext(next);
    server.setSecureContext(contextOptions(next));
  };
  return { server, set };
}

function identityContext({ byIdentity, ...options }: ServerTls): tls.SecureContext | undefined {
  return byIdentity && tls.createSecureContext(contextOptions({ ...options, ...byIdentity }));
}

function contextOptions({ cert, key, clientCa }: ServerTls): tls.SecureContextOptions {
  const options = { cert, key, minVersion: 'TLSv1.2' as const, ...(clientCa !== undefined && { ca: clientCa }) };
  try {
    tls.createSecureContext(options);
  } catch (cause) {
    throw new EruError('invalid', `tls: the certificate or its key cannot be used: ${EruError.from(cause).message}`, {
      cause,
    });
  }
  return options;
}

/** A certificate was shown and is not one of the authority's, or not valid now. */
function showsBadCertificate(socket: Socket): boolean {
  return socket instanceof tls.TLSSocket && !socket.authorized && socket.getPeerX509Certificate() !== undefined;
}

/**
 * Who gets the connections: gRPC or `server` itself, by the first bytes; under TLS by the first bytes within. Where both are
 * served, a handshake is told from a request in the same way.
 */
function doorTo(
  server: http.Server,
  secure: tls.Server | undefined,
  alsoClear: boolean,
  toGrpc: (socket: Socket) => void,
): { door: Server; sockets: ReadonlySet<Socket> } {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  };
  const [toHttp] = server.listeners('connection') as ((socket: Socket) => void)[];
  server.removeAllListeners('connection');
  const speak = (socket: Socket): void => {
    if (showsBadCertificate(socket)) {
      socket.destroy();
      return;
    }
    track(socket);
    byFirstBytes(socket, (head) => {
      const grpc = beginsHttp2(head);
      if (grpc === undefined) return undefined;
      return grpc ? toGrpc : (taken) => toHttp?.call(server, taken);
    });
  };
  secure?.on('secureConnection', speak);
  if (secure !== undefined && !alsoClear) return { door: secure, sockets };
  if (secure === undefined) return { door: server.on('connection', speak), sockets };
  const handshake = (socket: Socket): void => void secure.emit('connection', socket);
  const door = net.createServer((socket) => {
    track(socket);
    byFirstBytes(socket, (head) => (beginsTls(head) ? handshake : speak));
  });
  return { door, sockets };
}
