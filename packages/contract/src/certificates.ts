import { EruError } from '@eru/kit';
import { createHash, webcrypto, X509Certificate } from 'node:crypto';
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
  return { cert: `${cert.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

/** A certificate of this authority with a new key. @throws EruError `invalid` when the authority's texts cannot be read */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const keys = await generateKeys();
  return { cert: await certify(authority, keys.publicKey, request), key: await exportKey(keys.privateKey) };
}

/**
 * A certificate of nobody but its own key: shown by who asks an authority for one, so that the key never travels. It is good
 * for long, because the authority does not look at its time.
 */
export async function selfSignedCertificate(name: string): Promise<KeyPair> {
  const x509 = await library();
  const keys = await generateKeys();
  const notAfterMs = Date.UTC(9999, 0);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    ...common({ name, notBeforeMs: 0, notAfterMs }),
    keys,
    extensions: await extensionsOf({ usage: 'both' }, keys.publicKey),
  });
  return { cert: `${cert.toString('pem')}\n`, key: await exportKey(keys.privateKey) };
}

/** A certificate of this authority for the key of a self-signed one. @throws EruError `invalid` for one that is not what it says */
export async function signCertificate(
  authority: KeyPair,
  selfSigned: string,
  request: CertificateRequest,
): Promise<string> {
  return certify(authority, await provenKey(selfSigned), request);
}

/** What a certificate says of itself. @throws EruError `invalid` when it is none */
export function describeCertificate(pem: string): {
  fingerprint: string;
  /** SHA-256 of the public key, hex: the same in every certificate of this key. */
  keyHash: string;
  notBeforeMs: number;
  notAfterMs: number;
} {
  const { fingerprint256, publicKey, validFrom, validTo } = parsed(pem);
  const key = publicKey.export({ type: 'spki', format: 'der' });
  return {
    fingerprint: fingerprint256,
    keyHash: createHash('sha256').update(key).digest('hex'),
    notBeforeMs: Date.parse(validFrom),
    notAfterMs: Date.parse(validTo),
  };
}

/** When the next certificate is asked for: two thirds of a life; the rest is for what may fail on the way. */
export function renewalDueMs(pem: string): number {
  const { notBeforeMs, notAfterMs } = describeCertificate(pem);
  return notBeforeMs + ((notAfterMs - notBeforeMs) * 2) / 3;
}

function parsed(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new EruError('invalid', 'certificate: it cannot be read; it must be one in PEM', { cause });
  }
}

/** The public key of a self-signed certificate; who made the signature has the private one. */
async function provenKey(pem: string): Promise<webcrypto.CryptoKey> {
  const certificate = parsed(pem);
  const { publicKey } = certificate;
  if (publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1' || !certificate.verify(publicKey))
    throw new EruError('invalid', 'certificate: it must be signed by its own key, of the curve P-256');
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return webcrypto.subtle.importKey('spki', der, signing, true, ['verify']);
}

async function certify(
  authority: KeyPair,
  publicKey: webcrypto.CryptoKey,
  request: CertificateRequest,
): Promise<string> {
  const x509 = await library();
  const signer = await readAuthority(authority);
  const cert = await x509.X509CertificateGenerator.create({
    ...common(request),
    issuer: signer.cert.subject,
    signingKey: signer.key,
    publicKey,
    extensions: await extensionsOf(request, signer.cert.publicKey),
  });
  return `${cert.toString('pem')}\n`;
}

type X509 = typeof import('@peculiar/x509');

async function extensionsOf(
  { hosts = [], usage }: Pick<CertificateRequest, 'hosts' | 'usage'>,
  issuer: Parameters<X509['AuthorityKeyIdentifierExtension']['create']>[0],
): Promise<InstanceType<X509['Extension']>[]> {
  const x509 = await library();
  const usages = {
    server: [x509.ExtendedKeyUsage.serverAuth],
    client: [x509.ExtendedKeyUsage.clientAuth],
    both: [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth],
  };
  const names = hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value }));
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(usages[usage]),
    await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
  ];
}

const signing = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** Loaded only where certificates are made: it costs a command 90 ms. */
async function library(): Promise<X509> {
  return (await import('./x509.ts')).x509;
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
  cert: InstanceType<X509['X509Certificate']>;
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
