import { EruError } from './error.ts';

/** Stays on in production: a failed assertion is a bug, and stops the operation that met it. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new EruError('internal', `assertion failed: ${message}`);
}

/** For the end of a switch over a closed set. */
export function assertNever(value: never): never {
  throw new EruError('internal', `unexpected value ${JSON.stringify(value)}`);
}
