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
  return { message: error.message, exitCode };
}

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
