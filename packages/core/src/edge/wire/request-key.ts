import { toJson, type DescMessage, type MessageShape } from '@eru/contract';
import { invalid, stableStringify } from '@eru/kit';
import { createHash } from 'node:crypto';

import type { RequestKey } from '../../operations/requests.ts';

const longest = 128;

/**
 * The idempotency key of a request, with a digest of all the rest of it; undefined without one. `part` tells operations of
 * one request apart. @throws EruError `invalid`
 */
export function requestKey<S extends DescMessage>(
  schema: S,
  request: MessageShape<S> & { idempotencyKey: string },
  part = '',
): RequestKey | undefined {
  const { idempotencyKey: key } = request;
  if (key === '') return undefined;
  if (key.length > longest || !/^[\x21-\x2e\x30-\x7e]+$/.test(key))
    throw invalid('idempotency_key', key, `write up to ${longest} visible characters without a slash`);
  const rest = toJson(schema, { ...request, idempotencyKey: '' });
  const digest = createHash('sha256').update(stableStringify(rest)).digest('hex');
  return { key: part === '' ? key : `${key}/${part}`, digest };
}
