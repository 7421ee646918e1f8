import { EruError } from '@eru/kit';
import type { ServerTls } from '@eru/contract';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';

/** How `eru up` and `eru core` serve; files hold PEM. */
export interface ServingFlags {
  listen: string;
  auth: boolean;
  serverCert?: string;
  serverKey?: string;
  clientCa?: string;
  hostName?: string[];
}

/** @throws EruError `invalid` for files that cannot be read, or a certificate without its key */
export async function readServing(
  flags: ServingFlags,
): Promise<{ listen: string; tls?: ServerTls; hostNames: readonly string[] }> {
  const { listen, serverCert, serverKey, clientCa, hostName = [] } = flags;
  const serving = { listen, hostNames: [hostname().toLowerCase(), ...hostName] };
  if (serverCert === undefined && serverKey === undefined && clientCa === undefined) return serving;
  if (serverCert === undefined || serverKey === undefined)
    throw new EruError('invalid', '--server-cert and --server-key go together; give both files, or neither');
  const [cert, key, ca] = await Promise.all([
    read('--server-cert', serverCert),
    read('--server-key', serverKey),
    clientCa === undefined ? undefined : read('--client-ca', clientCa),
  ]);
  return { ...serving, tls: { cert, key, ...(ca !== undefined && { clientCa: ca }) } };
}

async function read(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new EruError('invalid', `${flag}: ${file} cannot be read: ${EruError.from(cause).message}`, { cause });
  }
}
