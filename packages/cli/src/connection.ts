import type { Core } from '@eru/client';
import { connectCore, readEndpoint } from '@eru/client';
import { EruError, isEruError } from '@eru/kit';

import type { Context, Globals } from './context.ts';

export type Connection = Pick<Core, 'core' | 'eru'>;

const defaultAddress = '127.0.0.1:5001';

/** Runs `use` with a connection to core, and says what to do about it when core cannot be reached or refuses. */
export async function withConnection<T>(context: Context, use: (connection: Connection) => Promise<T>): Promise<T> {
  const { address, username, password, found } = await findCore(context.globals);
  const credential = username === '' ? {} : { credential: { username, password } };
  const connection = connectCore({ addresses: address, ...credential });
  try {
    await connection.ready();
    return await use(connection);
  } catch (error) {
    throw withRemedy(error, { address, found, data: context.globals.data, credential: username !== '' });
  } finally {
    connection.close();
  }
}

interface Found {
  address: string;
  username: string;
  password: string;
  /** Whether the data folder had an endpoint. */
  found: boolean;
}

/** Flags and environment, then the data folder. A credential found there goes to no other address than the one beside it. */
async function findCore({ data, eru: given, username, password }: Globals): Promise<Found> {
  const own = given !== undefined && username !== undefined ? undefined : await readEndpoint(data);
  const address = given ?? own?.address ?? defaultAddress;
  const credential = own !== undefined && isSame(address, own.address) ? own : { username: '', password: '' };
  return {
    address,
    username: username ?? credential.username,
    password: password ?? credential.password,
    found: own !== undefined,
  };
}

function isSame(one: string, other: string): boolean {
  const plain = (address: string): string => address.replace(/^(localhost|\[::1\])?:(\d+)$/, '127.0.0.1:$2');
  return plain(one) === plain(other);
}

function withRemedy(
  error: unknown,
  { address, found, data, credential }: { address: string; found: boolean; data: string; credential: boolean },
): unknown {
  if (isEruError(error, 'unavailable') && !('node' in error.details)) {
    const hint = found
      ? 'is it running? `eru up` starts it'
      : `nothing in ${data} says where Eru runs; start it with \`eru up\`, or give --eru or --data`;
    return new EruError('unavailable', `no answer from Eru at ${address}: ${plainly(error.message)}; ${hint}`, {
      cause: error,
    });
  }
  if (isEruError(error, 'unauthenticated') || isRefusedLogin(error)) {
    const hint = credential
      ? 'the credential is not the one it was started with; check --username, --password and --data'
      : `found no credential in ${data}; run this as the user who started Eru, or give --data, or --username and --password`;
    return new EruError('unauthenticated', `Eru at ${address} refused: ${(error as Error).message}; ${hint}`, {
      cause: error,
    });
  }
  return error;
}

/** The original's core says so with status 2 (reference/core-rpc.md section 1.2). */
function isRefusedLogin(error: unknown): boolean {
  return isEruError(error) && /^invalid grpc (request meta|username|password)$/.test(error.message);
}

/** grpc-js adds its own story to the reason. */
function plainly(message: string): string {
  return /(?:connect )?(E[A-Z]{4,}|ENOTFOUND)/.exec(message)?.[1] ?? message;
}
