import { Closer } from '@eru/kit';
import https from 'node:https';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';

import { client, connect, createAuthority, issueCertificate, mount, pb, serve } from './index.ts';
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
