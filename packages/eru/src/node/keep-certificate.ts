import { renewalDueMs, selfSignedCertificate } from '@eru/contract';
import { EruError, isEruError, lockFolder, type Clock, type Logger } from '@eru/kit';

import type { DataFolder } from '../data-folder.ts';
import { connectAsNode } from './node-core.ts';
import { readIdentity, writeIdentity, type NodeIdentity } from './node-identity.ts';

/** A clock may be set, a machine may sleep, and another process of this machine may have been faster. */
const lookEveryMs = 60_000;

/** Between two attempts that have failed. */
const retryEveryMs = 10 * 60_000;

export interface KeepOptions {
  data: Pick<DataFolder, 'root' | 'node'>;
  identity: NodeIdentity;
  /** Told of every later certificate, whoever has asked for it. */
  use: (identity: NodeIdentity) => void;
  /** Has the key of a self-signed certificate signed by core, with the present one. */
  renew?: (identity: NodeIdentity, selfSigned: string, signal: AbortSignal) => Promise<string>;
  clock: Clock;
  logger: Logger;
  signal: AbortSignal;
}

/**
 * Renews a machine's certificate at two thirds of its life, until `signal` aborts. The daemon and the agent of a machine
 * both do; a lock lets one of them ask, and the other takes what it finds.
 */
export async function keepCertificate({
  data,
  use,
  renew = overCore,
  clock,
  logger,
  signal,
  ...options
}: KeepOptions): Promise<void> {
  let { identity } = options;
  let notBeforeMs = 0;
  const adopt = (next: NodeIdentity | undefined): void => {
    if (next === undefined || next.cert === identity.cert) return;
    identity = next;
    use(next);
  };
  while (!signal.aborted) {
    await clock.sleep(lookEveryMs, signal).catch(() => {});
    if (signal.aborted) return;
    try {
      adopt(await readIdentity(data));
      if (clock.now() < Math.max(notBeforeMs, renewalDueMs(identity.cert))) continue;
      await using _lock = await exclusive(data.root);
      adopt(await readIdentity(data));
      if (clock.now() < renewalDueMs(identity.cert)) continue;
      const { cert, key } = await selfSignedCertificate('renewing');
      const next = { ...identity, cert: await renew(identity, cert, signal), key };
      await writeIdentity(data, next);
      adopt(next);
      logger.info({ node: identity.node }, 'the certificate of this machine is renewed');
    } catch (error) {
      if (signal.aborted || isEruError(error, 'busy')) continue;
      notBeforeMs = clock.now() + retryEveryMs;
      logger.error(
        { err: EruError.from(error), node: identity.node },
        'the certificate of this machine is not renewed',
      );
    }
  }
}

async function exclusive(folder: string): Promise<AsyncDisposable> {
  const lock = await lockFolder(folder, 'certificate');
  return { [Symbol.asyncDispose]: () => lock.release() };
}

async function overCore(identity: NodeIdentity, selfSigned: string, signal: AbortSignal): Promise<string> {
  const client = connectAsNode(identity);
  try {
    await client.ready();
    return (await client.eru.renewCertificate({ certificate: selfSigned }, { signal })).certificate;
  } finally {
    client.close();
  }
}
