import { request as send } from 'node:http';
import { text } from 'node:stream/consumers';

import { EruError, isErrno, isJsonObject, type ErrorCode } from '@eru/kit';

import { verbs, type NetworkService } from './service.ts';

export const defaultNetdSocket = '/run/eru/netd.sock';

/** A node's network daemon through its socket: the same as in its process. `unavailable` when nobody answers there. */
export function connectNetd(socket: string = defaultNetdSocket): NetworkService {
  const calls = verbs.map((verb) => [
    verb,
    (request: unknown = {}, signal?: AbortSignal) => call(socket, verb, request, signal),
  ]);
  return Object.fromEntries(calls) as unknown as NetworkService;
}

async function call(socket: string, verb: string, body: unknown, signal: AbortSignal | undefined): Promise<unknown> {
  const { status, answer } = await post(socket, verb, JSON.stringify(body), signal);
  let value: unknown;
  try {
    value = JSON.parse(answer);
  } catch (cause) {
    throw new EruError('failed', `${socket}: its answer is not JSON: ${answer.slice(0, 200)}`, { cause });
  }
  if (status === 200) return value;
  const { code = 'failed', message, details = {} } = isJsonObject(value) ? value : {};
  const text = typeof message === 'string' ? message : answer;
  throw new EruError(code as ErrorCode, text, { details: details as Record<string, unknown> });
}

function post(
  socketPath: string,
  verb: string,
  body: string,
  signal?: AbortSignal,
): Promise<{ status: number; answer: string }> {
  return new Promise((resolve, reject) => {
    const refuse = (cause: unknown): void =>
      reject(
        isErrno(cause, 'ENOENT') || isErrno(cause, 'ECONNREFUSED')
          ? new EruError('unavailable', `no network daemon answers at ${socketPath}; start one with: eru netd`, {
              cause,
            })
          : EruError.from(signal?.aborted === true ? signal.reason : cause),
      );
    const request = send(
      {
        socketPath,
        method: 'POST',
        path: `/v1/${verb}`,
        headers: { 'content-type': 'application/json' },
        ...(signal !== undefined && { signal }),
      },
      (response) => void text(response).then((answer) => resolve({ status: response.statusCode ?? 0, answer }), refuse),
    );
    request.on('error', refuse);
    request.end(body);
  });
}
