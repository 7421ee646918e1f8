import type { ErrorCode } from '@eru/kit';
import { EruError } from '@eru/kit';

import { exitCodes } from './context.ts';

/** What people are told, and what scripts see. */
export function describeError(thrown: unknown): { message: string; exitCode: number } {
  const error = EruError.from(thrown);
  const exitCode = codes[error.code] ?? exitCodes.someFailed;
  if (error.code === 'canceled') return { message: '', exitCode };
  if (error.code === 'internal' && thrown instanceof Error && !(thrown instanceof EruError))
    return { message: `${error.message} (this is a bug in eru)\n${thrown.stack ?? ''}`, exitCode };
  return { message: plainly(error.message), exitCode };
}

/** The original's words for what is not there, which its clients on the wire may know (reference/core-rpc.md). */
function plainly(message: string): string {
  const absent = /^key: \/(pod\/info|node|workloads)\/(.+): bad `Count` value/.exec(message);
  return absent === null ? message : `no ${things[absent[1] as keyof typeof things]} is called ${absent[2]}`;
}

const things = { 'pod/info': 'pod', node: 'node', workloads: 'workload' };

const codes: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid: exitCodes.usage,
  no_capacity: exitCodes.noCapacity,
  not_found: exitCodes.notFound,
  unavailable: exitCodes.unreachable,
  timeout: exitCodes.unreachable,
  unauthenticated: exitCodes.unreachable,
  forbidden: exitCodes.unreachable,
  canceled: exitCodes.interrupted,
};
