import { EruError } from '@eru/kit';
import { parseEndpoint, type ServerTls } from '@eru/contract';
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
  secure?: boolean;
}

/** What a listening address is for, read from flags and files. */
export interface ServingPlan {
  listen: string;
  /** From the files; absent = the cluster's own authority signs. */
  tls?: ServerTls;
  hostNames: readonly string[];
  /** Nothing in clear text. */
  secure: boolean;
}

/** Whether nobody but this machine reaches what listens there. */
export function isLocal(listen: string): boolean {
  const endpoint = parseEndpoint(listen);
  return 'path' in endpoint || /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(endpoint.host);
}

/** @throws EruError `invalid` for files that cannot be read, or a certificate without its key */
export async function readServing(flags: ServingFlags): Promise<ServingPlan> {
  const { listen, serverCert, serverKey, clientCa, hostName = [], secure = false } = flags;
  const serving = { listen, hostNames: [hostname().toLowerCase(), ...hostName], secure };
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
