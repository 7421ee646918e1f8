import { create, fromJsonString, toJsonString, type DescMethod } from '@bufbuild/protobuf';
import { codeToHttpStatus, errorToJson } from '@connectrpc/connect/protocol-connect';
import { EruError } from '@eru/kit';
import type { IncomingMessage, ServerResponse } from 'node:http';

import { notImplemented, type Edge } from './grpc-face.ts';
import type { AnyHandler, CallContext, MountedService } from './handlers.ts';
import { connectError, peerOf } from './http-face.ts';
import { pump } from './stream.ts';

/**
 * Calls with many answers, for curl and the like: a JSON request as for any other call, then one line of JSON for each
 * answer as it comes. What fails after the first line is told by a last line `{"error": …}`. Calls that take a stream of
 * requests answer that they need gRPC.
 * @returns a handler; false when the request is not for it
 */
export function jsonLines(
  services: readonly MountedService[],
  edge: Edge,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const routes = new Map<string, { method: DescMethod; handler: AnyHandler | undefined }>();
  for (const { service, handlers } of services)
    for (const method of service.methods)
      if (method.methodKind !== 'unary')
        routes.set(`/${service.typeName}/${method.name}`, { method, handler: handlers[method.localName] });
  return (request, response) => {
    const route = routes.get((request.url ?? '').split('?', 1)[0] as string);
    const isJson = /^application\/json\b/i.test(request.headers['content-type'] ?? '');
    if (route === undefined || request.method !== 'POST' || !isJson) return false;
    void answer(request, response, route.method, route.handler, edge);
    return true;
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  method: DescMethod,
  handler: AnyHandler | undefined,
  edge: Edge,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new EruError('canceled', 'the client ended the call')));
  const context: CallContext = {
    method,
    signal: gone.signal,
    metadata: {
      get: (name) => {
        const value = request.headers[name];
        return Array.isArray(value) ? value[0] : value;
      },
    },
    ...peerOf(request.socket),
  };
  try {
    await edge.authenticate(context);
    for (const [name, value] of Object.entries(edge.headers(context) ?? {})) response.setHeader(name, value);
    if (method.methodKind !== 'server_streaming')
      throw new EruError(
        'unsupported',
        `${method.parent.typeName}/${method.name} takes a stream of requests: call it over gRPC, on this same port`,
      );
    if (handler === undefined) throw notImplemented(method);
    const message = await readMessage(request, method, edge.maxReceiveBytes);
    await pump(lines(handler(message as never, context) as AsyncIterable<object>, method), response, gone.signal);
    response.end();
  } catch (error) {
    if (gone.signal.aborted) return;
    const known = connectError(error, method, edge);
    const body = errorToJson(known, undefined);
    if (response.headersSent) response.end(`${JSON.stringify({ error: body })}\n`);
    else {
      response.writeHead(codeToHttpStatus(known.code), {
        ...Object.fromEntries(known.metadata),
        'content-type': 'application/json',
      });
      response.end(JSON.stringify(body));
    }
  }

  async function* lines(answers: AsyncIterable<object>, { output }: DescMethod): AsyncIterable<string> {
    for await (const one of answers) {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      const made = '$typeName' in one ? one : create(output, one as Record<string, unknown>);
      yield `${toJsonString(output, made as never)}\n`;
    }
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  }
}

async function readMessage(request: IncomingMessage, method: DescMethod, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new EruError('too_large', `the request is over ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  try {
    return fromJsonString(method.input, text === '' ? '{}' : text, { ignoreUnknownFields: false });
  } catch (cause) {
    throw new EruError('invalid', EruError.from(cause).message, { cause });
  }
}
