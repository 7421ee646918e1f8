import { EruError, invalid } from '@eru/kit';

import { checkKey, checkText, contains, intervalOf, toByteKey } from './key-order.ts';
import type { KeyRange, StoreLimits, Txn, TxnOp } from './store.ts';

/** etcd's defaults. The embedded store has them too, so that core walks the same paths on both. */
export const etcdLimits: StoreLimits = { txnOperations: 128, txnBytes: 1.5 * 1024 * 1024 };

/** What one operation or compare costs on etcd's wire besides its key and value, rounded up. */
const operationOverhead = 32;

/**
 * Refuses before anything is sent or done: keys that are none, more than fits (`too_large`), and a key that one branch
 * puts twice or both puts and deletes, as etcd does. `keyOverhead` is what the backend puts in front of each key.
 */
export function checkTxn(txn: Txn, limits: StoreLimits, keyOverhead = 0): void {
  const branches = [txn.then, txn.otherwise ?? []];
  let bytes = 64;
  for (const compare of txn.compare ?? []) {
    checkKey(compare.key, 'compare key');
    bytes += cost(compare.key, compare.target === 'value' ? compare.value : undefined, keyOverhead);
  }
  for (const operations of branches) {
    for (const operation of operations) bytes += checkOperation(operation, keyOverhead);
    checkDistinct(operations);
  }
  const count = Math.max(txn.compare?.length ?? 0, ...branches.map((operations) => operations.length));
  if (count > limits.txnOperations)
    throw new EruError('too_large', `a transaction of ${count} operations; the limit is ${limits.txnOperations}`);
  if (bytes > limits.txnBytes)
    throw new EruError('too_large', `a transaction of ${bytes} bytes; the limit is ${limits.txnBytes}`);
}

export function checkRange(range: KeyRange): void {
  if ('key' in range) checkKey(range.key, 'key');
  else if ('prefix' in range) checkText(range.prefix, 'prefix');
  else {
    checkText(range.start, 'start');
    checkText(range.end, 'end');
  }
}

export function checkLimit(limit: number | undefined): void {
  if (limit !== undefined && (!Number.isSafeInteger(limit) || limit < 1))
    throw invalid('limit', limit, 'give a whole number of at least 1, or none');
}

function checkOperation(operation: TxnOp, keyOverhead: number): number {
  if (operation.op === 'put') {
    checkKey(operation.key, 'key');
    return cost(operation.key, operation.value, keyOverhead);
  }
  checkRange(operation.range);
  if (operation.op === 'get') checkLimit(operation.limit);
  const { range } = operation;
  if ('key' in range) return cost(range.key, undefined, keyOverhead);
  if ('prefix' in range) return cost(range.prefix + range.prefix, undefined, 2 * keyOverhead);
  return cost(range.start + range.end, undefined, 2 * keyOverhead);
}

function cost(key: string, value: Uint8Array | undefined, keyOverhead: number): number {
  return Buffer.byteLength(key) + keyOverhead + (value?.byteLength ?? 0) + operationOverhead;
}

function checkDistinct(operations: readonly TxnOp[]): void {
  const deleted = operations.flatMap((operation) => (operation.op === 'delete' ? [intervalOf(operation.range)] : []));
  const seen = new Set<string>();
  for (const operation of operations) {
    if (operation.op !== 'put') continue;
    const key = toByteKey(operation.key);
    if (seen.has(key) || deleted.some((interval) => contains(interval, key)))
      throw invalid('key', operation.key, 'one transaction changes a key once');
    seen.add(key);
  }
}
