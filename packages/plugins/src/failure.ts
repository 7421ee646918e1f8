import { EruError, type ErrorCode } from '@eru/kit';
import { identify } from './identities.ts';

/** What went wrong with a call: `refused` is an exit status other than 0. What had no effect for sure, see `hadNoEffect`. */
export type FailureReason = 'refused' | 'start' | 'hang' | 'crash' | 'garbage' | 'lie' | 'huge';

export interface CallName {
  readonly plugin: string;
  readonly command: string;
}

/**
 * The error of a call: says which plugin, which command, what it did and its own words.
 * Details: `plugin`, `command`, `reason`, `said`, and `identity` where the words are a known error's.
 */
export function failure(call: CallName, reason: FailureReason, what: string, said = '', cause?: unknown): EruError {
  const identity = reason === 'refused' ? identify(said) : undefined;
  const words = said.trim().slice(-2000);
  const message = `plugin ${call.plugin}, ${call.command}: ${words === '' ? what : reason === 'refused' ? words : `${what}; it said: ${words}`}`;
  const details = { ...call, reason, said: words, ...(identity === undefined ? {} : { identity: identity.text }) };
  return new EruError(identity?.code ?? codes[reason], message, { details, cause });
}

const codes: Readonly<Record<FailureReason, ErrorCode>> = {
  refused: 'failed',
  start: 'unavailable',
  hang: 'timeout',
  crash: 'failed',
  garbage: 'failed',
  lie: 'failed',
  huge: 'too_large',
};

/** Whether it is known that a failed call changed nothing: the process did not start, or refused in known words. */
export function hadNoEffect(error: EruError): boolean {
  const { reason, identity } = error.details;
  return reason === 'start' || (reason === 'refused' && identity !== undefined && error.code !== 'timeout');
}

/** Several plugins' errors as one: the first is the identity, all are told. */
export function combined(errors: readonly EruError[]): EruError {
  const [first] = errors as readonly [EruError];
  if (errors.length === 1) return first;
  const message = errors.map((error) => error.message).join('; ');
  return new EruError(first.code, message, { cause: first, details: first.details });
}
