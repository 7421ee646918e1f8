import { EruError, isErrno, parseJsonObject, readIfExists, writeFileAtomic } from '@eru/kit';
import { rm } from 'node:fs/promises';
import path from 'node:path';

/** Where a running Eru listens and what it wants to hear. `eru up` writes it, the cli finds it. */
export interface Endpoint {
  /** `host:port` as clients write it. */
  address: string;
  /** Empty with `--no-auth`. */
  username: string;
  password: string;
  /** PEM: the authority of the certificate that core shows under TLS. */
  ca?: string;
}

export function endpointFile(dataFolder: string): string {
  return path.join(dataFolder, 'endpoint.json');
}

/** Readable by its owner alone: who reads it runs commands as the user that Eru runs as. */
export async function writeEndpoint(dataFolder: string, endpoint: Endpoint): Promise<void> {
  const { address, username, password, ca } = endpoint;
  const text = `${JSON.stringify({ address, username, password, ca })}\n`;
  await writeFileAtomic(endpointFile(dataFolder), text, 0o600);
}

/** Undefined when there is none. `unauthenticated` when this user may not read it, `invalid` when it is damaged. */
export async function readEndpoint(dataFolder: string): Promise<Endpoint | undefined> {
  const file = endpointFile(dataFolder);
  let text: string | undefined;
  try {
    text = await readIfExists(file);
  } catch (cause) {
    if (!isErrno(cause, 'EACCES') && !isErrno(cause, 'EPERM')) throw EruError.from(cause);
    const message = `${file} may be read by its owner only; run this as the user who started Eru, or give --username and --password`;
    throw new EruError('unauthenticated', message, { cause });
  }
  if (text === undefined) return undefined;
  const { address, username, password, ca } = parseJsonObject(text) ?? {};
  if (typeof address === 'string' && typeof username === 'string' && typeof password === 'string')
    return { address, username, password, ...(typeof ca === 'string' && { ca }) };
  throw new EruError('invalid', `${file} is damaged; \`eru up\` writes it anew`);
}

/** A stopped Eru has no address. */
export async function removeEndpoint(dataFolder: string): Promise<void> {
  await rm(endpointFile(dataFolder), { force: true });
}
