import type { z } from 'zod';

import { EruError } from '@eru/kit';

/** A value from outside as its schema says. @throws EruError `invalid` that names every wrong field */
export function checked<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const complaints = result.error.issues.map(
    ({ path, message }) => `${[what, ...path.map(String)].join('.')}: ${message}`,
  );
  throw new EruError('invalid', complaints.join('; '));
}
