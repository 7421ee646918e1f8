import { EruError, type Json } from '@eru/kit';

/**
 * Bad input of one kind: field, value and remedy for people, the original's text at the end for programs that look for it.
 */
export function refused(field: string, value: Json, remedy: string, original: string): EruError {
  const path = field.replace(' ', '.');
  return new EruError('invalid', `${field}: ${JSON.stringify(value)} is not allowed; ${remedy}: ${original}`, {
    details: { field: path, value, remedy },
  });
}
