import { Closer } from '@eru/kit';
import { once } from 'node:events';
import https from 'node:https';
import net from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import {
  client,
  connect,
  createAuthority,
  describeCertificate,
  fetchAuthority,
  issueCertificate,
  mount,
  pb,
  selfSignedCertificate,
  serve,
  signCertificate,
} from './index.ts';
import type { CertificateRequest, ClientTls, KeyPair, ServerTls, Serving } from './index.ts';

const day = 24 * 3600 * 1000;
const validity = { notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day };
const expiredValidity = { notBeforeMs: Date.now() - 2 * day, notAfterMs: Date.now() - day };
let authority: KeyPair;
let other: KeyPair;
let tls: ServerTls;
let owned: Closer;

beforeAll(async () => {
  [authority, other] = await Promise.all([
    createAuthority({ name: 'ours', ...validity }),
    createAuthority({ name: 'not ours', ...validity }),
  ]);
  tls = { ...(await issueServer(authority)), clientCa: authority.cert };
});
beforeEach(() => {
  owned = new Closer();
});
afterEach(() => owned.close());

function issueServer(issuer: KeyPair, hosts = ['127.0.0.1', 'localhost']): Promise<KeyPair> {
  return issueCertificate(issuer, { name: 'core', hosts, usage: 'server', ...validity });
}

function issueClient(issuer: KeyPair, request: Partial<CertificateRequest> = {}): Promise<KeyPair> {
  return issueCertificate(issuer, { name: 'node n1', usage: 'client', ...validity, ...request });
}

/** A server that tells each client whose certificate it has seen. */
async function start(options: ServerTls = tls): Promise<Serving> {
  const serving = await serve({
    listen: '127.0.0.1:0',
    tls: options,
    services: [mount(pb.CoreRPC, { getPod: async (_, { certificate }) => ({ name: certificate?.name ?? 'nobody' }) })],
  });
  owned.add('server', () => serving.close());
  return serving;
}

async function overGrpc(address: string, options?: ClientTls): Promise<string> {
  const channel = connect(address, { timeoutMs: 3_000, ...(options !== undefined && { tls: options }) });
  try {
    return (await client(pb.CoreRPC, channel).getPod({ name: 'x' })).name;
  } finally {
    channel.close();
  }
}

function overHttp(address: string, options: https.RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      `https://${address}/pb.CoreRPC/GetPod`,
      { method: 'POST', headers: { 'content-type': 'application/json' }, agent: false, ...options },
      (response) => {
        response.setEncoding('utf8');
        let text = '';
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve(text));
      },
    );
    request.on('error', reject);
    request.end('{"name":"x"}');
  });
}

test('gRPC and JSON on one port under TLS, each with the certificate of its client or none', async () => {
  const { address } = await start();
  const own = await issueClient(authority);
  const ca = authority.cert;
  expect(await overGrpc(address, { ca })).toBe('nobody');
  expect(await overGrpc(address, { ca, ...own })).toBe('node n1');
  expect(await overHttp(address, { ca })).toBe('{"name":"nobody"}');
  expect(await overHttp(address, { ca, ...own })).toBe('{"name":"node n1"}');
  // A client that offers both protocols, as browsers do, gets HTTP.
  expect(await overHttp(address, { ca, ALPNProtocols: ['h2', 'http/1.1'] } as https.RequestOptions)).toBe(
    '{"name":"nobody"}',
  );
});

test('a client that shows a foreign or an expired certificate is not let in, on neither face', async () => {
  const { address } = await start();
  const ca = authority.cert;
  for (const bad of [await issueClient(other), await issueClient(authority, expiredValidity)]) {
    await expect(overGrpc(address, { ca, ...bad })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(overHttp(address, { ca, ...bad })).rejects.toThrow();
  }
});

test('a client refuses a server of another authority or name, unless told the name; clear text gets nothing', async () => {
  const { address } = await start({ ...(await issueServer(authority, ['core.example'])) });
  const ca = authority.cert;
  await expect(overGrpc(address, { ca: other.cert })).rejects.toMatchObject({ code: 'unavailable' });
  await expect(overGrpc(address, { ca })).rejects.toMatchObject({ code: 'unavailable' });
  expect(await overGrpc(address, { ca, serverName: 'core.example' })).toBe('nobody');
  await expect(overGrpc(address)).rejects.toMatchObject({ code: 'unavailable' });
});

test('a renewed certificate serves new connections', async () => {
  const serving = await start();
  serving.setTls({ ...(await issueServer(other)), clientCa: other.cert });
  expect(await overGrpc(serving.address, { ca: other.cert, ...(await issueClient(other)) })).toBe('node n1');
  await expect(overGrpc(serving.address, { ca: authority.cert })).rejects.toMatchObject({ code: 'unavailable' });
  expect(() => serving.setTls({ cert: 'no', key: 'no' })).toThrow(/certificate or its key cannot be used/);
});

test('a foreign page is refused before any service is asked', async () => {
  const { address } = await start();
  const headers = { 'content-type': 'application/json', origin: 'https://evil.example' };
  expect(await overHttp(address, { ca: authority.cert, headers })).toMatch(/may not call this server/);
});

test('clear text and TLS on one port, on both faces, told apart by the first byte', async () => {
  const serving = await start({ ...tls, alsoClear: true });
  const { address } = serving;
  const own = await issueClient(authority);
  expect(await overGrpc(address)).toBe('nobody');
  expect(await overGrpc(address, { ca: authority.cert, ...own })).toBe('node n1');
  expect(await overHttp(address, { ca: authority.cert, ...own })).toBe('{"name":"node n1"}');
  const clear = await fetch(`http://${address}/pb.CoreRPC/GetPod`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(await clear.json()).toEqual({ name: 'nobody' });
  await expect(overGrpc(address, { ca: authority.cert, ...(await issueClient(other)) })).rejects.toThrow();
  // Connections that are open, idle or in the middle of a handshake keep nobody from closing.
  const [host, port] = address.split(':');
  const silent = net.connect(Number(port), host);
  silent.on('error', () => {});
  await once(silent, 'connect');
  silent.write(Buffer.from([0x16, 3, 1]));
  await serving.close();
});

test('a server may be known by who it is in place of its address', async () => {
  const { address } = await start(await issueServer(authority, ['elsewhere.example']));
  const as = (identity: ClientTls['identity']): ClientTls => ({ ca: authority.cert, ...(identity && { identity }) });
  expect(
    await overGrpc(
      address,
      as(({ name }) => name === 'core'),
    ),
  ).toBe('nobody');
  await expect(
    overGrpc(
      address,
      as(({ name }) => name === 'node n1'),
    ),
  ).rejects.toThrow('it shows a certificate of core, which is not, or no longer, the one meant');
});

test('an authority signs a key that it never sees, and no key that is not proven', async () => {
  const own = await selfSignedCertificate('n1');
  const cert = await signCertificate(authority, own.cert, { name: 'node n1', usage: 'both', ...validity });
  const { address } = await start();
  expect(await overGrpc(address, { ca: authority.cert, cert, key: own.key })).toBe('node n1');
  expect(describeCertificate(cert).keyHash).toBe(describeCertificate(own.cert).keyHash);
  const request = { name: 'x', usage: 'both', ...validity } as const;
  await expect(signCertificate(authority, cert, request)).rejects.toThrow('signed by its own key');
  await expect(signCertificate(authority, 'no', request)).rejects.toThrow('it must be one in PEM');
  // Until it is signed, who knows the certificate itself can be sure of the server.
  const before = await start({ ...own, clientCa: authority.cert });
  expect(await overGrpc(before.address, { ca: own.cert, identity: ({ name }) => name === 'n1' })).toBe('nobody');
});

describe('an authority that is known by its fingerprint', () => {
  const fingerprint = ({ cert }: KeyPair): string =>
    describeCertificate(cert).fingerprint.replaceAll(':', '').toLowerCase();
  const chained = async (): Promise<string> => {
    const { cert, key } = await issueServer(authority);
    return (await start({ cert: cert + authority.cert, key })).address;
  };

  test('is what the server shows', async () => {
    const found = await fetchAuthority(await chained(), fingerprint(authority), Date.now());
    expect(found).toBe(authority.cert);
  });

  test('is shown to who asks for it, where the certificate for everybody else is of another one', async () => {
    const everybody = await issueServer(other);
    const { cert, key } = await issueCertificate(authority, { name: 'core', usage: 'server', ...validity });
    const serving = await start({
      ...everybody,
      clientCa: authority.cert,
      byIdentity: { cert: cert + authority.cert, key },
    });
    const { address } = serving;
    expect(await fetchAuthority(address, fingerprint(authority), Date.now())).toBe(authority.cert);
    const known = { ca: authority.cert, identity: ({ name }: { name: string }) => name === 'core' };
    expect(await overGrpc(address, { ...known, ...(await issueClient(authority)) })).toBe('node n1');
    expect(await overGrpc(address, { ca: other.cert })).toBe('nobody');
    serving.setTls(everybody);
    await expect(overGrpc(address, known)).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('is not another one', async () => {
    await expect(fetchAuthority(await chained(), fingerprint(other), Date.now())).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('is not of the cluster that made this token') as string,
    });
  });

  test.each([-2 * day, 2 * day])('is not believed while the clock is off by %d ms', async (offMs) => {
    await expect(fetchAuthority(await chained(), fingerprint(authority), Date.now() + offMs)).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining('one of the clocks is wrong') as string,
    });
  });

  test('is not found where there is clear text, or nobody', async () => {
    const clear = await serve({ listen: '127.0.0.1:0', services: [] });
    owned.add('server', () => clear.close());
    await expect(fetchAuthority(clear.address, '', Date.now())).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining('does not speak TLS') as string,
    });
    await clear.close();
    await expect(fetchAuthority(clear.address, '', Date.now())).rejects.toMatchObject({ code: 'unavailable' });
  });
});
