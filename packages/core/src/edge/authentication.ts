import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

import type { CallContext } from '@eru/contract';
import { EruError } from '@eru/kit';

/** One pair for everybody: a metadata entry whose key is the user name and whose value is the password (section 1.2). */
export interface Credential {
  username: string;
  password: string;
}

/** Refuses calls without the credential, with the original's texts. Clients lower-case metadata keys, so that is compared. */
export function authenticator({ username, password }: Credential): (call: Pick<CallContext, 'metadata'>) => void {
  const name = username.toLowerCase();
  return ({ metadata }) => {
    const given = metadata.get(name);
    if (given === undefined) throw new EruError('unauthenticated', 'invalid grpc username');
    if (!same(given, password)) throw new EruError('unauthenticated', 'invalid grpc password');
  };
}

/** The same for plain HTTP: the entry as a header, or basic authentication. */
export function admits({ username, password }: Credential, { headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const given = headers[username.toLowerCase()];
  if (typeof given === 'string' && same(given, password)) return true;
  const [scheme, encoded = ''] = (headers.authorization ?? '').split(' ');
  return (
    scheme?.toLowerCase() === 'basic' && same(Buffer.from(encoded, 'base64').toString(), `${username}:${password}`)
  );
}

/** In a time that does not tell how much of it is right. */
function same(a: string, b: string): boolean {
  return timingSafeEqual(digest(a), digest(b));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
