import { invalid, isEruError, parseDuration } from '@eru/kit';

/**
 * A moment as docker's clients write it: seconds since the epoch (with a fraction), an RFC 3339 time, or a duration that is
 * counted back from now (`42m`). Empty = none.
 */
export function readMoment(field: string, text: string, nowMs: number): number | undefined {
  if (text === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (/^\d{4}-\d{2}-\d{2}/.test(text)) {
    const ms = Date.parse(text);
    if (!Number.isNaN(ms)) return ms;
  } else {
    try {
      return nowMs - parseDuration(text, field);
    } catch (error) {
      if (!isEruError(error, 'invalid')) throw error;
    }
  }
  throw invalid(
    field,
    text,
    'write a duration such as 42m, a time such as 2026-01-31T12:00:00Z, or seconds since 1970',
  );
}

/** `all`, empty, or a number of lines. */
export function readTail(text: string): number | undefined {
  if (text === '' || text === 'all') return undefined;
  if (!/^\d{1,9}$/.test(text)) throw invalid('tail', text, 'write a number of lines, or all');
  return Number(text);
}
