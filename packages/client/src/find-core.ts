import type { ClientTls } from '@eru/contract';
import { EruError } from '@eru/kit';
import { readFile } from 'node:fs/promises';

import type { ClientCredential, ConnectCoreOptions } from './core.ts';
import { readEndpoint, type Endpoint } from './endpoint-file.ts';

/** What a user has said, by flag or environment, of where core is. */
export interface Wanted {
  /** The data folder of an Eru on this machine, where the rest may be found. */
  data: string;
  /** Address of core. */
  eru?: string;
  username?: string;
  password?: string;
  /** Wins over a pair. */
  token?: string;
  /** Files; any of them means TLS. */
  tls?: { ca?: string; cert?: string; key?: string };
}

export interface FoundCore extends Pick<ConnectCoreOptions, 'credential' | 'tls'> {
  addresses: string;
  /** Whether the data folder said where. */
  found: boolean;
}

const defaultAddress = '127.0.0.1:5001';

/**
 * What was said, then what the data folder says. A credential or authority found there
 * goes to no other address than the one beside it.
 * @throws EruError as `readEndpoint`, `invalid` for a file of TLS that cannot be read
 */
export async function findCore({
  data,
  eru: given,
  username,
  password,
  token,
  tls: files,
}: Wanted): Promise<FoundCore> {
  const complete = given !== undefined && (username !== undefined || token !== undefined);
  const own = complete ? undefined : await readEndpoint(data);
  const addresses = given ?? own?.address ?? defaultAddress;
  const beside = own !== undefined && isSame(addresses, own.address) ? own : nothing;
  const pair = { username: username ?? beside.username, password: password ?? beside.password };
  const credential: ClientCredential | undefined =
    token !== undefined ? { token } : pair.username === '' ? undefined : pair;
  const tls = (await readTls(files)) ?? (beside.ca === undefined ? undefined : { ca: beside.ca });
  return {
    addresses,
    found: own !== undefined,
    ...(credential !== undefined && { credential }),
    ...(tls !== undefined && { tls }),
  };
}

const nothing: Omit<Endpoint, 'address'> = { username: '', password: '' };

function isSame(one: string, other: string): boolean {
  const plain = (address: string): string =>
    address.replace(/^(localhost|\[::1\]|0\.0\.0\.0|\[::\])?:(\d+)$/, '127.0.0.1:$2');
  return plain(one) === plain(other);
}

async function readTls(files: Wanted['tls']): Promise<ClientTls | undefined> {
  if (files === undefined) return undefined;
  const texts = Object.entries(files).map(async ([name, file]) => {
    try {
      return [name, await readFile(file, 'utf8')] as const;
    } catch (cause) {
      throw new EruError('invalid', `--tls-${name}: ${file} cannot be read: ${EruError.from(cause).message}`, {
        cause,
      });
    }
  });
  return Object.fromEntries(await Promise.all(texts));
}
