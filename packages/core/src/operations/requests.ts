import { EruError, isEruError, retry } from '@eru/kit';

import type { OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, versioned, type Outcome, type RequestRecord, type Versioned } from '../state/records.ts';

/** An idempotency key as a request carries it, with the digest of everything else in the request. */
export interface RequestKey {
  key: string;
  digest: string;
}

/** How long the result of a request is kept for those who ask again. */
const resultMs = 3_600_000;

/** Longer outputs of hooks are cut in what is kept: the result is one value of the store. */
const longestText = 500;

/** The write that ties a key to an operation, in the transaction that begins it; it loses against an earlier request. */
export function requestBegin(request: RequestKey | undefined, operation: string): OwnWrite[] {
  if (request === undefined) return [];
  const record: RequestRecord = { v: 1, operation, digest: request.digest, failures: [], result: null };
  return [{ key: keys.request(request.key), revision: 0, value: encode(record) }];
}

/** The write that keeps a result, in the transaction that ends the operation. */
export async function requestEnd(
  { store, clock, random }: Context,
  tenure: Tenure,
  key: string,
  known: Versioned<RequestRecord>,
  result: readonly Outcome[],
): Promise<OwnWrite> {
  const lease = await retry(() => store.grantLease(resultMs), { signal: tenure.signal, clock, random });
  const record: RequestRecord = { ...known.value, failures: [], result: result.map(shortened) };
  return { key: keys.request(key), revision: known.modRevision, value: encode(record), lease: lease.id };
}

export function shortened(outcome: Outcome): Outcome {
  return {
    ...outcome,
    error: outcome.error.slice(0, longestText),
    hook: outcome.hook.slice(0, longestText),
  };
}

/** The request record as the store has it. A store that does not answer is asked again: an operation is not lost by a read. */
export async function requestOf(
  { store, clock, random }: Context,
  key: string,
  signal: AbortSignal,
): Promise<Versioned<RequestRecord> | undefined> {
  if (key === '') return undefined;
  const kv = await retry(() => store.get(keys.request(key), { signal }), { signal, clock, random });
  return kv === undefined ? undefined : versioned<RequestRecord>(kv);
}

/** Thrown by a beginning transaction that finds its key taken. */
export function taken(key: string): EruError {
  return new EruError('exists', `idempotency_key: ${JSON.stringify(key)} has an operation`, {
    details: { idempotencyKey: key },
  });
}

/**
 * Runs `begin`, or, when the key has an operation already, waits for that one and answers its result.
 * @throws EruError `precondition` when the key was used for a different request
 */
export async function once<T>(
  { view }: Context,
  request: RequestKey | undefined,
  signal: AbortSignal,
  begin: () => Promise<T>,
  attached: (result: readonly Outcome[], operation: string) => T,
): Promise<T> {
  if (request === undefined) return begin();
  const { key, digest } = request;
  if (view.requests.get(key) === undefined) {
    try {
      return await begin();
    } catch (error) {
      if (!isEruError(error, 'exists') || error.details['idempotencyKey'] !== key) throw error;
    }
  }
  const found = await view.until(() => {
    const record = view.requests.get(key)?.value;
    if (record !== undefined && record.digest !== digest)
      throw new EruError('precondition', `idempotency_key: ${JSON.stringify(key)} was used for a different request`, {
        details: { field: 'idempotency_key', operation: record.operation },
      });
    const { result = null } = record ?? {};
    return record === undefined || result === null ? undefined : { operation: record.operation, result };
  }, signal);
  return attached(found.result, found.operation);
}

/** What an operation on one workload has told, from its kept result. @throws EruError `failed` when it was refused */
export function hookOf([outcome]: readonly Outcome[]): Uint8Array {
  if (outcome !== undefined && outcome.error !== '') throw new EruError('failed', outcome.error);
  return new TextEncoder().encode(outcome?.hook ?? '');
}
