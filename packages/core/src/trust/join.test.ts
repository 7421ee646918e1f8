import { X509Certificate } from 'node:crypto';

import { describeCertificate, selfSignedCertificate, type KeyPair } from '@eru/contract';
import { SimulatedMachine } from '@eru/engines';
import { Closer, EruError, seededRandom, silentLogger, VirtualClock } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openMemoryStore, type Store } from '@eru/store';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import { startCore, type Core } from '../core.ts';
import type { Engines } from '../nodes/engine-clients.ts';
import { joinNode, type Joined, type JoinRequest } from './join.ts';
import { createNodeToken, type NodeTokenRequest } from './join-tokens.ts';
import { isCurrent, nodeCallerOf, renewCertificate } from '../nodes/certificates.ts';
import { removeNode, setNode } from '../nodes/nodes.ts';
import { addPod } from '../nodes/pods.ts';
import { redact } from '../state/records.ts';

const hourMs = 3_600_000;
const endpoint = 'eru+tls://10.0.0.7:5002';
const never = new AbortController().signal;
const scheduler = createScheduler({ kinds: builtinKinds() });

let own: KeyPair;
let another: KeyPair;
let owned: Closer;
let clock: VirtualClock;
let store: Store;
let core: Core;
/** What core shows, and whom it lets be there, at each opening of a client. */
let opened: { cert: string; ca: string; admits: (fingerprint: string) => boolean }[];
let dropped: string[];
let unreachable: boolean;
let cores = 0;
let engines: Engines;

beforeAll(async () => {
  [own, another] = await Promise.all([selfSignedCertificate('n1'), selfSignedCertificate('n1')]);
});
beforeEach(async () => {
  owned = new Closer();
  clock = new VirtualClock();
  store = await openMemoryStore({ clock });
  owned.add('store', () => store.close());
  [opened, dropped, unreachable] = [[], [], false];
  const machine = new SimulatedMachine({ name: 'n1', clock, random: seededRandom(1), cpus: 4, memoryBytes: 2 ** 33 });
  engines = {
    get: (_endpoint, { cert, ca, peer }) => {
      if (unreachable) throw new EruError('unavailable', 'connect ECONNREFUSED');
      opened.push({ cert, ca, admits: peer?.admits ?? (() => true) });
      return machine.engine();
    },
    drop: (_endpoint, { peer }) => void dropped.push(peer?.name ?? ''),
  };
  core = await start();
  await addPod(core.context, core.membership.current(), 'p', '');
});
afterEach(() => owned.close());

async function start(): Promise<Core> {
  const base = { store, scheduler, engines, clock, random: seededRandom(++cores), logger: silentLogger };
  const started = await startCore({ ...base, address: '10.0.0.1:5001', version: 'test' });
  owned.add('core', () => started.close());
  return started;
}

async function token(request: Partial<NodeTokenRequest> = {}): Promise<string> {
  const asked = { node: 'n1', pod: 'p', ttlMs: 0, rejoin: false, ...request };
  const made = await createNodeToken(core.context, core.membership.current(), core.cluster, asked);
  return made.token.slice(0, made.token.lastIndexOf('_'));
}

function join(secret: string, request: Partial<JoinRequest> = {}): Promise<Joined> {
  const asked = { secret, endpoint, certificate: own.cert, nowMs: clock.now(), ...request };
  return joinNode(core.context, core.membership.current(), { cluster: core.cluster, engines }, asked, never);
}

const fingerprint = (cert: string): string => describeCertificate(cert).fingerprint;
const caller = (cert: string, node = 'n1') =>
  nodeCallerOf(core.context.view, { name: `node:${node}`, fingerprint: fingerprint(cert) });

/** Whether the first core takes it for the node's. */
const isKnown = (cert: string): boolean => {
  const record = core.context.view.nodes.get('n1')?.value;
  return record !== undefined && isCurrent(record, fingerprint(cert));
};
const isSignedBy = (cert: string, authority: string): boolean =>
  new X509Certificate(cert).verify(new X509Certificate(authority).publicKey);

test('a machine joins with a token: looked at over its own certificate, registered with one of the authority', async () => {
  const joined = await join(await token());
  const { view } = core.context;
  const record = view.nodes.get('n1')?.value;
  expect(joined).toMatchObject({ node: 'n1', pod: 'p', authority: view.authority.get('')?.value.cert });
  expect(record).toMatchObject({ pod: 'p', endpoint, test: false, ca: '', cert: '', key: '' });
  expect(record && isCurrent(record, fingerprint(joined.certificate))).toBe(true);
  expect(describeCertificate(joined.certificate).keyHash).toBe(describeCertificate(own.cert).keyHash);
  expect(view.nodeResources.get('n1')?.value.capacity['cpumem']).toMatchObject({ cpu: 4 });
  // The look was at the machine that asked, and its connection is not kept.
  expect(opened[0]?.ca).toBe(own.cert);
  expect(opened[0]?.admits(fingerprint(own.cert))).toBe(true);
  expect(opened[0]?.admits(fingerprint(another.cert))).toBe(false);
  expect(dropped).toEqual(['joining:n1']);
  // Later calls are to who has the certificate in the record.
  core.context.engineOf('n1');
  expect(opened.at(-1)?.ca).toBe(joined.authority);
  expect(opened.at(-1)?.admits(fingerprint(joined.certificate))).toBe(true);
  expect(opened.at(-1)?.admits(fingerprint(own.cert))).toBe(false);
});

test('the key of the authority is shown to nobody, and a token is kept as its hash', async () => {
  const secret = await token();
  const { kvs } = await store.range({ prefix: '' });
  const texts = kvs.map(({ value }) => new TextDecoder().decode(value)).join('\n');
  expect(texts).not.toContain(secret.slice('eru_join_'.length));
  const authority = core.context.view.authority.get('')?.value;
  expect(authority?.key).toContain('PRIVATE KEY');
  expect(JSON.stringify(redact({ ...authority }))).not.toContain('PRIVATE KEY');
});

describe('nothing is done for', () => {
  const left = async (): Promise<string[]> => {
    const { kvs } = await store.range({ prefix: 'node' });
    return kvs.map(({ key }) => key);
  };
  afterEach(async () => expect(await left()).toEqual([]));

  test('a wrong token', () =>
    expect(join('eru_join_0123')).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('is not known') as string,
    }));

  test('an expired token, which is remembered for a day', async () => {
    const secret = await token();
    await clock.advance(hourMs);
    await expect(join(secret)).rejects.toMatchObject({
      code: 'unauthenticated',
      message: expect.stringContaining('expired at') as string,
    });
    await clock.advance(25 * hourMs);
    await expect(join(secret)).rejects.toThrow('is not known');
  });

  test('a token whose place another one has taken', async () => {
    const secret = await token();
    await token();
    await expect(join(secret)).rejects.toThrow('a later one took its place');
  });

  test.each([
    [-11, 'behind'],
    [11, 'ahead of'],
  ])('a machine whose clock is off by %d minutes', async (minutes, word) => {
    const secret = await token();
    await expect(join(secret, { nowMs: clock.now() + minutes * 60_000 })).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining(`11 minutes ${word} core's`) as string,
    });
  });

  test('a daemon that core cannot reach, and the token is still good', async () => {
    const secret = await token();
    unreachable = true;
    await expect(join(secret)).rejects.toMatchObject({
      code: 'precondition',
      message: expect.stringContaining('cannot reach the node daemon at 10.0.0.7:5002') as string,
    });
    expect(await left()).toEqual([]);
    unreachable = false;
    await join(secret);
    await removeNode(core.context, core.membership.current(), 'n1', never);
  });

  test('an agent alone, when the node is not there', async () => {
    await expect(join(await token(), { endpoint: '' })).rejects.toThrow('its daemon joins first');
  });

  test('a token for a pod that is not there, or for a node to join anew that is not', async () => {
    await expect(token({ pod: 'q' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(token({ rejoin: true })).rejects.toMatchObject({ code: 'not_found' });
    await expect(token({ ttlMs: 8 * 24 * hourMs })).rejects.toThrow('at most those of 7 days');
  });

  test('an endpoint that is not of this kind, or a node of this kind that does not join', async () => {
    await expect(join(await token(), { endpoint: 'unix:///run/x.sock' })).rejects.toThrow('write eru+tls://HOST:PORT');
    const request = { name: 'n1', endpoint, ca: '', cert: '', key: '', labels: {} };
    await expect(
      setNode(core.context, core.membership.current(), engines, {
        ...request,
        resources: {},
        delta: false,
        cordon: true,
      }),
    ).rejects.toMatchObject({ code: 'not_found' });
  });
});

test('a name that is taken is refused when the token is made, and when it was taken since', async () => {
  const secret = await token();
  await join(secret);
  await expect(token()).rejects.toMatchObject({ code: 'exists' });
  await expect(join(secret, { certificate: another.cert })).rejects.toThrow('was used by another machine');
});

test('a lost answer is given again to the same key; the certificate before it is dead', async () => {
  const secret = await token();
  const first = await join(secret);
  const second = await join(secret);
  expect(caller(second.certificate)).toMatchObject({ node: 'n1' });
  expect(() => caller(first.certificate)).toThrow('the certificate is dead');
});

test('of two machines with one token at the same time one joins', async () => {
  const secret = await token();
  const settled = await Promise.allSettled([join(secret), join(secret, { certificate: another.cert })]);
  const lost = settled.filter(({ status }) => status === 'rejected');
  expect(lost).toHaveLength(1);
  const [winner] = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  expect(caller(winner?.certificate ?? '')).toMatchObject({ node: 'n1' });
});

test('a removed node is dead at once, and its token forgotten; the name can be used again', async () => {
  const secret = await token();
  const { certificate } = await join(secret);
  core.context.engineOf('n1');
  dropped.length = 0;
  await removeNode(core.context, core.membership.current(), 'n1', never);
  expect(() => caller(certificate)).toThrow('node n1 was removed');
  expect(dropped).toEqual(['node:n1']);
  expect(opened.at(-1)?.admits(fingerprint(certificate))).toBe(false);
  await expect(join(secret)).rejects.toThrow('is not known');
  await join(await token(), { certificate: another.cert });
  expect(() => caller(certificate)).toThrow('has joined anew');
});

test('a machine that joins anew takes the place of the one before, whose workloads stay recorded', async () => {
  const { certificate } = await join(await token());
  const before = core.context.view.nodeResources.get('n1');
  const elsewhere = 'eru+tls://10.0.0.8:5002';
  const again = await join(await token({ rejoin: true }), { certificate: another.cert, endpoint: elsewhere });
  expect(again.pod).toBe('p');
  expect(core.context.view.nodes.get('n1')?.value).toMatchObject({ pod: 'p', endpoint: elsewhere });
  expect(core.context.view.nodeResources.get('n1')).toEqual(before);
  expect(() => caller(certificate)).toThrow('has joined anew');
  expect(dropped.filter((name) => name === 'node:n1')).toHaveLength(1);
});

test('an agent alone joins a node that is there, whose endpoint stays', async () => {
  await join(await token());
  const joined = await join(await token({ rejoin: true }), { certificate: another.cert, endpoint: '' });
  expect(core.context.view.nodes.get('n1')?.value.endpoint).toBe(endpoint);
  expect(caller(joined.certificate)).toMatchObject({ node: 'n1' });
});

test('a renewal overlaps with the certificate before it, and ends the one before that', async () => {
  const { certificate } = await join(await token());
  const renew = async (from: string, to: KeyPair): Promise<string> => {
    const asking = caller(from);
    if (asking === undefined) throw new Error('not a node');
    return renewCertificate(core.context, core.membership.current(), asking, to.cert);
  };
  core.context.engineOf('n1');
  dropped.length = 0;
  const second = await renew(certificate, another);
  expect(caller(certificate)).toBeDefined();
  expect(caller(second)).toBeDefined();
  expect(dropped).toEqual([]);
  const third = await renew(second, own);
  expect(() => caller(certificate)).toThrow('the certificate is dead');
  expect(caller(second)).toBeDefined();
  expect(caller(third)).toBeDefined();
});

test('a token of one core is good at another, which signs with the same authority, and a third renews', async () => {
  const secret = await token();
  const [second, third] = [await start(), await start()];
  const asked = { secret, endpoint, certificate: own.cert, nowMs: clock.now() };
  const { context, membership, cluster } = second;
  const joined = await joinNode(context, membership.current(), { cluster, engines }, asked, never);
  await third.context.view.until(() => third.context.view.nodes.get('n1'), never);
  const asking = nodeCallerOf(third.context.view, { name: 'node:n1', fingerprint: fingerprint(joined.certificate) });
  if (asking === undefined) throw new Error('not a node');
  const renewed = await renewCertificate(third.context, third.membership.current(), asking, another.cert);
  await core.context.view.until(() => isKnown(renewed) || undefined, never);
  expect(isSignedBy(renewed, joined.authority)).toBe(true);
  expect(caller(joined.certificate)).toBeDefined();
});

test('each core has a certificate of its own, of the one authority, as soon as there is one', async () => {
  const second = await start();
  const both = [core, second];
  for (const { context } of both) expect(() => context.certificates.current()).toThrow('has no certificate yet');
  await token();
  await second.context.view.until(() => second.context.view.authority.get(''), never);
  await Promise.all(both.map(({ context }) => context.certificates.ready(never)));
  const shown = both.map(({ context }) => context.certificates.current());
  expect(new Set(shown.map(({ cert }) => cert)).size).toBe(2);
  expect(new Set(shown.map(({ authority }) => authority)).size).toBe(1);
});
