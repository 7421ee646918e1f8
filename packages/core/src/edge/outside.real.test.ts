import { client, connect, createAuthority, issueCertificate, pb, type ClientTls, type KeyPair } from '@eru/contract';
import { EruError, run, systemClock } from '@eru/kit';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { createToken } from '../trust/tokens.ts';
import { startTestCore, type TestCore } from './harness.suite.ts';

/**
 * One port under TLS as the world meets it: three clients, each with every credential that there is, right, wrong and
 * expired. What each role may do is told method by method in authentication.test.ts.
 */
const root = path.resolve(import.meta.dirname, '../../../..');
const credential = { username: 'Eru', password: 'secret' };
const day = 24 * 3_600_000;

interface Shown {
  /** Metadata or headers. */
  headers?: Record<string, string>;
  /** Name of a key pair in the folder. */
  certificate?: string;
}

let folder: string;
let core: TestCore;
let ca: string;
const pairs: Record<string, KeyPair> = {};
const tokens: Record<string, string> = {};

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-outside-'));
  const now = systemClock.now();
  const valid = { notBeforeMs: now - day, notAfterMs: now + day };
  const authority = await createAuthority({ name: 'ours', ...valid });
  const other = await createAuthority({ name: 'not ours', ...valid });
  const server = await issueCertificate(authority, { name: 'core', hosts: ['127.0.0.1'], usage: 'server', ...valid });
  const person = { name: 'operate:ci', usage: 'client' } as const;
  pairs['right'] = await issueCertificate(authority, { ...person, ...valid });
  pairs['foreign'] = await issueCertificate(other, { ...person, ...valid });
  pairs['expired'] = await issueCertificate(authority, {
    ...person,
    notBeforeMs: now - 2 * day,
    notAfterMs: now - day,
  });
  pairs['nameless'] = await issueCertificate(authority, { name: 'ci', usage: 'client', ...valid });
  ca = authority.cert;
  await writeFile(path.join(folder, 'ca.pem'), ca);
  for (const [name, { cert, key }] of Object.entries(pairs)) {
    await writeFile(path.join(folder, `${name}.pem`), cert);
    await writeFile(path.join(folder, `${name}.key`), key);
  }
  core = await startTestCore({ credential, callsPerSecond: 0, tls: { ...server, clientCa: ca } });
  const { context, membership } = core.core;
  const make = async (name: string, role: string, ttlMs: number): Promise<string> =>
    (await createToken(context, membership.current(), { name, role, ttlMs })).secret;
  tokens['read'] = await make('read', 'read', 0);
  tokens['expired'] = await make('expired', 'admin', 1);
  await systemClock.sleep(2);
});
afterAll(async () => {
  await core.close();
  await rm(folder, { recursive: true, force: true });
});

const bearer = (token: string): Shown => ({ headers: { authorization: `Bearer ${tokens[token] ?? token}` } });
const basic = (text: string): Shown => ({
  headers: { authorization: `Basic ${Buffer.from(text).toString('base64')}` },
});

/** What a client is told: `ok`, a part of the refusal, or `closed` when it does not get as far as asking. */
const cases: [name: string, shown: () => Shown, look: string, change: string][] = [
  ['nothing', () => ({}), 'invalid grpc username', 'invalid grpc username'],
  ['the right pair', () => ({ headers: { eru: 'secret' } }), 'ok', 'ok'],
  ['a wrong password', () => ({ headers: { eru: 'guess' } }), 'invalid grpc password', 'invalid grpc password'],
  ['the right basic authentication', () => basic('Eru:secret'), 'ok', 'ok'],
  ['a wrong one', () => basic('Eru:guess'), 'invalid grpc password', 'invalid grpc password'],
  ['a token to read', () => bearer('read'), 'ok', 'needs the role admin'],
  ['a wrong token', () => bearer('eru_guess'), 'not known, or has expired', 'not known, or has expired'],
  ['an expired token', () => bearer('expired'), 'not known, or has expired', 'not known, or has expired'],
  ['the right certificate', () => ({ certificate: 'right' }), 'ok', 'needs the role admin'],
  ['a foreign certificate', () => ({ certificate: 'foreign' }), 'closed', 'closed'],
  ['an expired certificate', () => ({ certificate: 'expired' }), 'closed', 'closed'],
  ['one that says no role', () => ({ certificate: 'nameless' }), 'says its role', 'says its role'],
];

const file = (name: string): string => path.join(folder, name);

async function ours({ headers = {}, certificate }: Shown, method: 'listPods' | 'addPod'): Promise<string> {
  const tls: ClientTls = { ca, ...(certificate !== undefined && pairs[certificate]) };
  const channel = connect(core.address, { tls, credentials: headers, timeoutMs: 5_000 });
  try {
    const calls = client(pb.CoreRPC, channel);
    if (method === 'addPod') await calls.addPod({ name: unique() });
    else await calls.listPods({});
    return 'ok';
  } catch (error) {
    const { code, message } = EruError.from(error);
    return code === 'unavailable' ? 'closed' : message;
  } finally {
    channel.close();
  }
}

async function curl({ headers = {}, certificate }: Shown, method: string): Promise<string> {
  const { code, stdout } = await run('curl', [
    '-sS',
    '--max-time',
    '10',
    '--cacert',
    file('ca.pem'),
    '-H',
    'content-type: application/json',
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    ...(certificate === undefined ? [] : ['--cert', file(`${certificate}.pem`), '--key', file(`${certificate}.key`)]),
    '-d',
    body(method),
    '-w',
    '\n%{http_code}',
    `https://${core.address}/pb.CoreRPC/${method}`,
  ]);
  if (code !== 0) return 'closed';
  return stdout.endsWith('\n200') ? 'ok' : stdout;
}

async function bufCurl({ headers = {}, certificate }: Shown, method: string): Promise<string> {
  const { code, stderr } = await run(path.join(root, 'node_modules/.bin/buf'), [
    'curl',
    '--cacert',
    file('ca.pem'),
    '--protocol',
    'grpc',
    '--http2-prior-knowledge',
    '--schema',
    path.join(root, 'packages/contract/proto'),
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    ...(certificate === undefined ? [] : ['--cert', file(`${certificate}.pem`), '--key', file(`${certificate}.key`)]),
    '-d',
    body(method),
    `https://${core.address}/pb.CoreRPC/${method}`,
  ]);
  if (code === 0) return 'ok';
  return /"code": "(unavailable|canceled)"/.test(stderr) ? 'closed' : stderr;
}

let made = 0;
const unique = (): string => `pod${made++}`;
const body = (method: string): string => (method === 'AddPod' ? JSON.stringify({ name: unique() }) : '{}');

describe.each([
  ['our client', (shown: Shown, changes: boolean) => ours(shown, changes ? 'addPod' : 'listPods')],
  ['curl', (shown: Shown, changes: boolean) => curl(shown, changes ? 'AddPod' : 'ListPods')],
  ['buf curl', (shown: Shown, changes: boolean) => bufCurl(shown, changes ? 'AddPod' : 'ListPods')],
] as const)('%s shows', (_name, call) => {
  test.each(cases)('%s', async (_what, shown, look, change) => {
    // Beyond ten refusals in a minute each is late by a second: the two go side by side.
    const [looked, changed] = await Promise.all([call(shown(), false), call(shown(), true)]);
    expect(looked).toContain(look);
    expect(changed).toContain(change);
  });
});

describe('who calls too often', () => {
  let busy: TestCore;
  beforeAll(async () => {
    busy = await startTestCore({ callsPerSecond: 0.2 });
  });
  // Each test begins with a caller who has long to wait: one call in five seconds is allowed.
  beforeEach(async () => {
    for (let waitMs = 0; waitMs < 3000;) {
      const error = await busy.rpc.info({}).then(
        () => undefined,
        (refusal: unknown) => EruError.from(refusal),
      );
      waitMs = Number(error?.details['retryAfterMs'] ?? 0);
    }
  });
  afterAll(() => busy.close());

  test('is told by gRPC when to come again, and what it did is not refused for a fault of its own', async () => {
    await expect(busy.rpc.addPod({ name: 'p' })).rejects.toMatchObject({
      code: 'throttled',
      details: { grpcCode: 8, retryAfterMs: expect.any(Number) as number },
    });
    await expect(busy.eru.listTokens({})).rejects.toMatchObject({ details: { grpcCode: 8 } });
  });

  test.each(['pb.CoreRPC/Info', 'pb.CoreRPC/ListPods'])(
    'is told by HTTP, with the header for it: %s',
    async (method) => {
      const response = await fetch(`http://${busy.address}/${method}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      expect(response.status).toBe(429);
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(await response.json()).toMatchObject({ code: 'resource_exhausted' });
    },
  );

  test('still finds out whether core is well', async () => {
    const answer = await fetch(`http://${busy.address}/grpc.health.v1.Health/Check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await answer.json()).toEqual({ status: 'SERVING' });
    expect((await fetch(`http://${busy.address}/readyz`)).status).toBe(200);
  });
});
