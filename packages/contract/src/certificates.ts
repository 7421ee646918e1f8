import { EruError } from '@eru/kit';
import { webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

/** A certificate with its private key, both as PEM text. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateRequest {
  /** Common name of the subject. */
  readonly name: string;
  /** DNS names and IP addresses that a server of this certificate answers at; a client needs none. */
  readonly hosts?: readonly string[];
  readonly usage: 'server' | 'client' | 'both';
  /** Milliseconds since the epoch. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** A new authority of one cluster, self-signed: it signs the certificates of its own machines and nothing else. */
export async function createAuthority(
  request: Pick<CertificateRequest, 'name' | 'notBeforeMs' | 'notAfterMs'>,
): Promise<KeyPair> {
  const x509 = await library();
  const keys = await generateKeys();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    ...common(request),
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: cert.toString('pem'), key: await exportKey(keys.privateKey) };
}

/** A certificate of this authority with a new key. @throws EruError `invalid` when the authority's texts cannot be read */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const x509 = await library();
  const keys = await generateKeys();
  const signer = await readAuthority(authority);
  const { hosts = [], usage } = request;
  const usages = {
    server: [x509.ExtendedKeyUsage.serverAuth],
    client: [x509.ExtendedKeyUsage.clientAuth],
    both: [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
  };
  const cert = await x509.X509CertificateGenerator.create({
    ...common(request),
    issuer: signer.cert.subject,
    signingKey: signer.key,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(usages[usage]),
      await x509.AuthorityKeyIdentifierExtension.create(signer.cert.publicKey),
      ...(hosts.length === 0
        ? []
        : [
            new x509.SubjectAlternativeNameExtension(
              hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
            ),
          ]),
    ],
  });
  return { cert: cert.toString('pem'), key: await exportKey(keys.privateKey) };
}

const signing = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Loaded only where certificates are made: it costs a command 90 ms. */
async function library(): Promise<typeof import('@peculiar/x509')> {
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(signing, true, ['sign', 'verify']);
}

function common({ name, notBeforeMs, notAfterMs }: Pick<CertificateRequest, 'name' | 'notBeforeMs' | 'notAfterMs'>): {
  name: { CN: string[] }[];
  subject: { CN: string[] }[];
  notBefore: Date;
  notAfter: Date;
  signingAlgorithm: typeof signing;
} {
  const subject = [{ CN: [name] }];
  return {
    name: subject,
    subject,
    notBefore: new Date(notBeforeMs),
    notAfter: new Date(notAfterMs),
    signingAlgorithm: signing,
  };
}

async function readAuthority({ cert, key }: KeyPair): Promise<{
  cert: InstanceType<(typeof import('@peculiar/x509'))['X509Certificate']>;
  key: webcrypto.CryptoKey;
}> {
  const x509 = await library();
  try {
    const [der] = x509.PemConverter.decode(key);
    return {
      cert: new x509.X509Certificate(cert),
      key: await webcrypto.subtle.importKey('pkcs8', der as ArrayBuffer, signing, false, ['sign']),
    };
  } catch (cause) {
    throw new EruError('invalid', 'the certificate or the key of the authority cannot be read', { cause });
  }
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const x509 = await library();
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}
