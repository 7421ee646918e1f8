/**
 * What went wrong, as a closed set. Only an edge turns a code into a gRPC status or an exit code.
 *
 * User's side: `invalid` (a value that is not allowed), `not_found`, `exists`, `busy` (somebody else is changing it),
 * `precondition` (the state forbids it), `no_capacity` (the plan does not fit), `unsupported` (this engine or server
 * lacks the verb), `unauthenticated` (nobody knows who asks), `forbidden` (who asks may not), `throttled` (who asks
 * does so too often).
 * System's side: `conflict` (an optimistic transaction lost), `fenced` (this process lost its right to write),
 * `unavailable` (the other side cannot be reached), `timeout`, `canceled`, `compacted` (a watch fell behind),
 * `too_large` (over a limit of the backend), `failed` (the other side tried and could not), `internal` (a bug).
 */
export type ErrorCode =
  | 'invalid'
  | 'not_found'
  | 'exists'
  | 'busy'
  | 'precondition'
  | 'no_capacity'
  | 'unsupported'
  | 'unauthenticated'
  | 'forbidden'
  | 'throttled'
  | 'conflict'
  | 'fenced'
  | 'unavailable'
  | 'timeout'
  | 'canceled'
  | 'compacted'
  | 'too_large'
  | 'failed'
  | 'internal';

/** The one error type of Eru: a code for programs, a message for people, the cause, and details that survive the wire. */
export class EruError extends Error {
  override readonly name = 'EruError';
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  /** Any thrown value as an EruError; an abort is `canceled`, a lapsed `AbortSignal.timeout` is `timeout`. */
  static from(thrown: unknown): EruError {
    if (isEruError(thrown)) return thrown;
    if (!(thrown instanceof Error)) return new EruError('internal', String(thrown), { cause: thrown });
    if (thrown.name === 'AbortError') return new EruError('canceled', 'canceled', { cause: thrown });
    if (thrown.name === 'TimeoutError') return new EruError('timeout', thrown.message, { cause: thrown });
    const system = systemErrors[(thrown as NodeJS.ErrnoException).code ?? ''];
    return new EruError(system ?? 'internal', thrown.message, { cause: thrown });
  }
}

const systemErrors: Readonly<Record<string, ErrorCode>> = {
  ENOENT: 'not_found',
  EEXIST: 'exists',
  EACCES: 'precondition',
  EPERM: 'precondition',
  EADDRINUSE: 'busy',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EPIPE: 'unavailable',
  ENOSPC: 'failed',
  EDQUOT: 'failed',
  EIO: 'failed',
  EROFS: 'failed',
  ETIMEDOUT: 'timeout',
};

/** By shape, not by class: two bundles of one program each have their own class. */
export function isEruError(thrown: unknown, code?: ErrorCode): thrown is EruError {
  return (
    thrown instanceof Error &&
    thrown.name === 'EruError' &&
    'code' in thrown &&
    (code === undefined || thrown.code === code)
  );
}

/** Node's own system errors (`ENOENT`, `ESRCH`, …). */
export function isErrno(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && (thrown as NodeJS.ErrnoException).code === code;
}

/** `field: why, got value; remedy`: the form of every complaint about input. */
export function invalid(field: string, value: unknown, expected: string): EruError {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return new EruError('invalid', `${field}: ${shown} is not allowed; ${expected}`, { details: { field } });
}
