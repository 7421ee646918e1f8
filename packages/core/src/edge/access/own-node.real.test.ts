import {
  client,
  connect,
  createAuthority,
  eru,
  issueCertificate,
  pb,
  selfSignedCertificate,
  type Channel,
} from '@eru/contract';
import { Closer, EruError, systemClock } from '@eru/kit';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';

import { joinNode } from '../../trust/join.ts';
import { createNodeToken } from '../../trust/join-tokens.ts';
import { addNode, removeNode } from '../../nodes/nodes.ts';
import { addPod } from '../../nodes/pods.ts';
import { startTestCore, type TestCore } from '../harness.suite.ts';

const never = new AbortController().signal;
const credential = { username: 'eru', password: 'secret' };
const hourMs = 3_600_000;

let core: TestCore;
let authority: string;
let owned: Closer;
let machine: Channel;

beforeAll(async () => {
  const now = systemClock.now();
  const interim = await createAuthority({ name: 'x', notBeforeMs: now - hourMs, notAfterMs: now + hourMs });
  const made = await issueCertificate(interim, {
    name: 'x',
    usage: 'server',
    notBeforeMs: now,
    notAfterMs: now + hourMs,
  });
  core = await startTestCore({ credential, tls: { ...made, clientCa: interim.cert } });
  const { context, membership } = core.core;
  await addPod(context, membership.current(), 'p', '');
  const own = await core.core.certificate(never);
  ({ authority } = own);
  core.setTls({ cert: own.cert, key: own.key, clientCa: own.authority });
});
afterAll(() => core.close());

/** A node, and a connection of its machine. */
async function joined(name: string): Promise<Channel> {
  const { context, membership, cluster } = core.core;
  const engines = { get: () => core.machines.resolve('mock://m').engine() };
  const tenure = membership.current();
  const plain = { ca: '', cert: '', key: '', labels: {}, resources: {}, test: false };
  await addNode(context, tenure, engines, { name, pod: 'p', endpoint: 'sim://m', ...plain }, never);
  const { token } = await createNodeToken(context, tenure, cluster, { node: name, pod: '', ttlMs: 0, rejoin: true });
  const { cert, key } = await selfSignedCertificate(name);
  const secret = token.slice(0, token.lastIndexOf('_'));
  const asked = { secret, endpoint: '', certificate: cert, nowMs: systemClock.now() };
  const { certificate } = await joinNode(context, tenure, { cluster, engines }, asked, never);
  const identity = ({ name }: { name: string }): boolean => name.startsWith('core:');
  const channel = connect(core.address, { tls: { ca: authority, cert: certificate, key, identity } });
  owned.add('channel', () => channel.close());
  return channel;
}

beforeEach(() => {
  owned = new Closer();
  return () => owned.close();
});

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'ok',
    (error: unknown) => EruError.from(error).code,
  );
}

test('a machine reports its own node and no other, whatever it is asked to', async () => {
  machine = await joined('n1');
  const calls = { core: client(pb.CoreRPC, machine), eru: client(eru.Eru, machine) };
  expect(await codeOf(calls.core.setNodeStatus({ nodename: 'n1', ttl: 60n }))).toBe('ok');
  expect(await codeOf(calls.eru.reportWorkloads({ node: 'n1', reports: [] }))).toBe('ok');
  expect(await calls.core.getNode({ nodename: 'n1' })).toMatchObject({ name: 'n1', podname: 'p' });
  expect(await codeOf(calls.core.getNode({ nodename: 'n2' }))).toBe('forbidden');
  expect(await codeOf(calls.core.setNodeStatus({ nodename: 'n2', ttl: 60n }))).toBe('forbidden');
  expect(await codeOf(calls.eru.reportWorkloads({ node: 'n2', reports: [] }))).toBe('forbidden');
  expect(await codeOf(calls.core.listPods({}))).toBe('forbidden');
  expect(await codeOf(calls.eru.createToken({ name: 't', role: 'admin' }))).toBe('forbidden');
});

test('a renewal over the wire: both certificates are good', async () => {
  machine = await joined('n3');
  const next = await selfSignedCertificate('n3');
  const { certificate } = await client(eru.Eru, machine).renewCertificate({ certificate: next.cert });
  const renewed = connect(core.address, {
    tls: { ca: authority, cert: certificate, key: next.key, identity: () => true },
  });
  owned.add('renewed', () => renewed.close());
  for (const channel of [machine, renewed])
    expect(await codeOf(client(pb.CoreRPC, channel).setNodeStatus({ nodename: 'n3', ttl: 60n }))).toBe('ok');
});

test('when the node is removed its open streams end, and nothing more is answered over the same connection', async () => {
  machine = await joined('n4');
  const calls = client(pb.CoreRPC, machine);
  const stream = calls.watchServiceStatus({});
  expect((await stream.next()).value).toMatchObject({ addresses: ['10.0.0.1:5001'] });
  const { context, membership } = core.core;
  await removeNode(context, membership.current(), 'n4', never);
  await expect(stream.next()).rejects.toMatchObject({
    code: 'unauthenticated',
    message: expect.stringContaining('node n4 was removed') as string,
  });
  await expect(calls.info({})).rejects.toThrow('the certificate is dead: node n4 was removed');
});
