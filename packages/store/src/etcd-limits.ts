import { isEruError } from '@eru/kit';

import { callTimeoutMs } from './etcd-endpoint.ts';
import type { Endpoints } from './etcd-endpoints.ts';
import type { EtcdWire } from './etcd-wire.ts';
import type { StoreLimits } from './store.ts';

/** More would only make one transaction hold up the others. */
const mostOperations = 512;
const mostBytes = 1.5 * 1024 * 1024;
const leastBytes = 16 * 1024;
/** What an etcd server lets a message be larger than `--max-request-bytes` (its `grpcOverheadBytes`). */
const messageOverhead = 512 * 1024;
/** What a probe's message is larger than its key, rounded up. */
const framing = 64;

/**
 * Finds out how large a transaction may be (`--max-txn-ops`, `--max-request-bytes`): etcd does not tell, but refuses what is
 * over it. The probes are transactions whose operations stand in the branch that is not taken, so nothing is written or
 * read, and the log of the cluster does not grow.
 */
export async function findLimits(endpoints: Endpoints, wire: EtcdWire): Promise<StoreLimits> {
  const accepts = async (keys: readonly string[]): Promise<boolean> => {
    const request = wire.txn({
      then: [],
      otherwise: keys.map((key) => ({ op: 'get', range: { key }, keysOnly: true })),
    });
    try {
      await endpoints.call('read', ({ kv }) => kv.txn(request, { timeoutMs: callTimeoutMs }));
      return true;
    } catch (error) {
      if (isEruError(error, 'too_large')) return false;
      throw error;
    }
  };
  const txnOperations = await largest(1, mostOperations, 1, (count) =>
    accepts(Array.from({ length: count }, () => 'x')),
  );
  const txnBytes = await largest(leastBytes, mostBytes, 1024, (bytes) =>
    accepts(['x'.repeat(bytes + messageOverhead - framing)]),
  );
  return { txnOperations, txnBytes };
}

/** The largest of `low`, `low + step`, …, `high` that is accepted; `low` is taken for granted. */
async function largest(
  low: number,
  high: number,
  step: number,
  accepts: (value: number) => Promise<boolean>,
): Promise<number> {
  if (await accepts(high)) return high;
  let [good, bad] = [0, Math.ceil((high - low) / step)];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (await accepts(low + middle * step)) good = middle;
    else bad = middle;
  }
  return low + good * step;
}
