import { createHash } from 'node:crypto';

import { connectCore, parseAddresses } from '@eru/client';
import { fetchAuthority, selfSignedCertificate } from '@eru/contract';
import { EruError, isEruError, retry, type Clock } from '@eru/kit';
import type { RemoteTls } from '@eru/runtime';

import type { DataFolder } from '../data-folder.ts';
import { coreTls } from './node-core.ts';
import {
  readAsking,
  removeAsking,
  writeAsking,
  writeIdentity,
  type Asking,
  type NodeIdentity,
} from './node-identity.ts';

export interface JoinOptions {
  data: DataFolder;
  /** Of `eru node token`. */
  token: string;
  /** Addresses of cores. */
  cores: string;
  /** Serves the machine's daemon, before core looks at it; absent = an agent alone. */
  daemon?: {
    listen: string;
    /** Answers the endpoint that core is told. */
    serve: (tls: RemoteTls) => Promise<string>;
  };
  clock: Clock;
  signal: AbortSignal;
}

/** A core that starts, or is restarted, is waited for; some five seconds. */
const patience = { attempts: 6, baseMs: 500, maxMs: 2000 };

export function tokenHash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

/**
 * Makes this machine a node, or the machine of one: knows core by the fingerprint in the token, makes a key, and has it signed.
 * Whoever dies on the way may do it again with the same token.
 * @throws EruError `invalid` (no such token, no such address), and what core says
 */
export async function join({ data, token, cores, daemon, clock, signal }: JoinOptions): Promise<NodeIdentity> {
  const [, secret, fingerprint] = /^(eru_join_[0-9a-f]{64})_([0-9a-f]{64})$/.exec(token) ?? [];
  if (secret === undefined || fingerprint === undefined)
    throw new EruError('invalid', '--join: that is no token; `eru node token NAME --pod POD` makes one: eru_join_…');
  const authority = await retry(() => firstAuthority(cores, fingerprint, clock), { ...patience, signal, retryable });
  const hash = tokenHash(token);
  const asking = (await readAsking(data, hash)) ?? (await ask(data, hash));
  const endpoint = (await daemon?.serve({ cert: asking.cert, key: asking.key, authority })) ?? '';
  const client = connectCore({ addresses: cores, credential: { token: secret }, tls: coreTls(authority) });
  try {
    await client.ready();
    const request = { endpoint, certificate: asking.cert };
    const joined = await retry(
      () => client.eru.joinNode({ ...request, now: BigInt(Math.round(clock.now())) }, { signal }),
      { ...patience, signal, retryable },
    );
    const identity: NodeIdentity = {
      node: joined.node,
      cores,
      listen: daemon?.listen ?? '',
      authority: joined.authority,
      cert: joined.certificate,
      key: asking.key,
      token: hash,
    };
    await writeIdentity(data, identity);
    await removeAsking(data);
    return identity;
  } catch (error) {
    // Without an answer core may have let this key in: it is kept for the next attempt.
    if (!retryable(error) && !isEruError(error, 'canceled')) await removeAsking(data);
    throw error;
  } finally {
    client.close();
  }
}

async function ask(data: DataFolder, token: string): Promise<Asking> {
  const asking = { token, ...(await selfSignedCertificate('joining')) };
  await writeAsking(data, asking);
  return asking;
}

/** From the first core that answers. */
async function firstAuthority(cores: string, fingerprint: string, clock: Clock): Promise<string> {
  let failure: unknown;
  for (const address of parseAddresses(cores).addresses) {
    try {
      return await fetchAuthority(address, fingerprint, clock.now());
    } catch (error) {
      failure ??= error;
      if (!retryable(error)) throw error;
    }
  }
  throw failure;
}

function retryable(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout');
}
