import { parseSize, type Json } from '@eru/kit';
import { refused } from '../refused.ts';

/** Bytes as people write them; `undefined` where they did not: the reader knows what the whole text should have been. */
export function readSize(text: string): number | undefined {
  try {
    return parseSize(text);
  } catch {
    return undefined;
  }
}

/**
 * An amount of storage, text or a number of bytes; `undefined` when it is not given. (The original reads text alone, so that
 * it takes the figures of its own client for 0.) @throws EruError `invalid`
 */
export function parseStorage(value: Json | undefined, field: string): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const bytes = typeof value === 'string' ? readSize(value) : value;
  if (typeof bytes !== 'number') throw refused(field, value, 'write bytes or a size such as 10G', 'invalid storage');
  return Math.round(bytes);
}
