import { STATUS_CODES } from 'node:http';

import { EruError, type ErrorCode } from '@eru/kit';

import { headBytes, type Headers, type ResponseHead } from './head.ts';

/** An answer of dockerd, read whole. */
export interface Answer {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

/** An answer to a client. */
export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

/** What says where a body ends, and how long a connection lives, is each connection's own. */
const hopHeaders = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive', 'trailer']);

/** dockerd's answer as it is, or with another body. */
export function passOn({ head, body }: Answer, changed: Buffer = body): Reply {
  const headers = head.headers.filter(([name]) => !hopHeaders.has(name.toLowerCase()));
  return { status: head.status, headers, body: changed };
}

export function jsonReply(status: number, value: unknown): Reply {
  return { status, headers: [['Content-Type', 'application/json']], body: Buffer.from(`${JSON.stringify(value)}\n`) };
}

const statuses: Partial<Record<ErrorCode, number>> = {
  invalid: 400,
  not_found: 404,
  exists: 409,
  precondition: 409,
  busy: 409,
  conflict: 409,
  fenced: 409,
  forbidden: 403,
  too_large: 413,
  unsupported: 501,
  unavailable: 502,
  no_capacity: 503,
  timeout: 504,
};

/** As dockerd complains. */
export function errorReply(thrown: unknown): Reply {
  const error = EruError.from(thrown);
  return jsonReply(statuses[error.code] ?? 500, { message: error.message });
}

export function replyBytes({ status, headers, body }: Reply, close: boolean): Buffer {
  const bare = status === 204 || status === 304;
  const all: Headers = [
    ...headers,
    ...(bare ? [] : ([['Content-Length', String(body.length)]] as const)),
    ...(close ? ([['Connection', 'close']] as const) : []),
  ];
  const head = headBytes(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`, all);
  return bare ? head : Buffer.concat([head, body]);
}
