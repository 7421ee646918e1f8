import { EruError } from '@eru/kit';
import { createHash, X509Certificate } from 'node:crypto';
import tls from 'node:tls';

import { identityName } from './connect.ts';
import { parseEndpoint } from './listen.ts';

const limitMs = 10_000;

/**
 * The authority of a server that is known by nothing but the fingerprint of it (SHA-256 of the certificate, hex): what the
 * server shows is believed because it has this fingerprint. Nothing is sent before that.
 * @param now of this machine, milliseconds since the epoch
 * @throws EruError `unavailable` (nobody there), `precondition` (no TLS there, or a clock is wrong), `unauthenticated` (another authority)
 */
export async function fetchAuthority(address: string, fingerprint: string, now: number): Promise<string> {
  const chain = await chainOf(address);
  const authority = chain.find(({ raw }) => createHash('sha256').update(raw).digest('hex') === fingerprint);
  if (authority === undefined)
    throw new EruError(
      'unauthenticated',
      `${address} is not of the cluster that made this token: none of the certificates it shows has the fingerprint in the token; is the address right?`,
    );
  const [{ validFrom, validTo } = authority] = chain;
  if (now < Date.parse(validFrom) || now > Date.parse(validTo))
    throw new EruError(
      'precondition',
      `the clock of this machine says ${new Date(now).toISOString()}, and the certificate of ${address} is good from ${validFrom} to ${validTo}: one of the clocks is wrong`,
    );
  return authority.toString();
}

/** The server's certificate and those it sends along. */
function chainOf(address: string): Promise<X509Certificate[]> {
  const endpoint = parseEndpoint(address);
  return new Promise((resolve, reject) => {
    // Who it is will be seen by the fingerprint.
    const socket = tls.connect({ ...endpoint, rejectUnauthorized: false, servername: identityName, timeout: limitMs });
    const fail = (error: unknown): void => {
      socket.destroy();
      reject(failure(address, error));
    };
    socket.once('error', fail);
    socket.once('timeout', () => fail(new EruError('timeout', `no answer within ${limitMs / 1000} s`)));
    socket.once('secureConnect', () => {
      const chain: X509Certificate[] = [];
      let next: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
      while (next?.raw !== undefined && !chain.some(({ raw }) => raw.equals(next?.raw ?? raw))) {
        chain.push(new X509Certificate(next.raw));
        next = next.issuerCertificate;
      }
      socket.destroy();
      resolve(chain);
    });
  });
}

function failure(address: string, cause: unknown): EruError {
  const { code, message } = EruError.from(cause);
  const ssl = /^(EPROTO|ERR_SSL_)/.test((cause as NodeJS.ErrnoException).code ?? '');
  if (ssl || message.includes('before secure TLS connection'))
    return new EruError(
      'precondition',
      `${address} does not speak TLS: a core does where it serves other machines, such as with --listen 0.0.0.0:5001`,
      { cause },
    );
  return new EruError(code === 'timeout' ? code : 'unavailable', `no answer from ${address}: ${message}`, { cause });
}
