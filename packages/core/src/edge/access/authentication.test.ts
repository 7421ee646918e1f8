import { eru, pb } from '@eru/contract';
import { VirtualClock } from '@eru/kit';
import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';

import { roles, type Role, type TokenRecord } from '../../state/records.ts';
import { Gate } from './authentication.ts';
import { roleFor } from './roles.ts';

const credential = { username: 'Eru', password: 'secret' };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
let clock: VirtualClock;
let gate: Gate;

function token(role: Role, expiresAtMs?: number): TokenRecord {
  const hash = createHash('sha256').update(`eru_${role}`).digest('hex');
  return { v: 1, name: role, role, hash, createdAtMs: 0, ...(expiresAtMs !== undefined && { expiresAtMs }) };
}

beforeEach(() => {
  clock = new VirtualClock();
  const tokens = new Map(
    [
      ...roles.map((role) => token(role)),
      { ...token('admin', clock.now() + 1000), name: 'short', hash: shortHash },
    ].map((value) => [value.name, { value }]),
  );
  const nodes = new Map([['n1', { value: { certificates: [''] } }]]);
  const hash = createHash('sha256').update('secret').digest('hex');
  const joins = new Map([['n9', { value: { node: 'n9', hash, expiresAtMs: clock.now() + 1 } }]]);
  gate = new Gate({ view: { tokens, nodes, joins } as never, clock }, credential);
});
const shortHash = createHash('sha256').update('eru_short').digest('hex');

function call(
  metadata: Record<string, string>,
  {
    method = pb.CoreRPC.method.info,
    certificate,
    peer = '10.0.0.9:4711',
    fingerprint = '',
  }: { method?: object; certificate?: string; peer?: string; fingerprint?: string } = {},
) {
  return {
    metadata: { get: (name: string) => metadata[name] },
    method,
    peer,
    certificate: certificate === undefined ? undefined : { name: certificate, fingerprint },
  } as unknown as Parameters<Gate['admit']>[0];
}

describe('a caller is known by', () => {
  test.each([
    [
      'the pair of the original, under the lower-cased name',
      { eru: 'secret' },
      undefined,
      { name: 'Eru', role: 'admin' },
    ],
    ['basic authentication', { authorization: basic('Eru:secret') }, undefined, { name: 'Eru', role: 'admin' }],
    ['a token', { authorization: 'Bearer eru_read' }, undefined, { name: 'token read', role: 'read' }],
    ['a certificate', {}, 'operate:ci', { name: 'certificate ci', role: 'operate' }],
  ] as const)('%s', (_name, metadata, certificate, principal) => {
    const made = call(metadata, certificate === undefined ? {} : { certificate });
    expect(gate.admit(made)).toBeUndefined();
    expect(gate.principalOf(made)).toEqual(principal);
  });

  test.each([
    [{}, 'invalid grpc username'],
    [{ Eru: 'secret' }, 'invalid grpc username'],
    [{ eru: 'wrong' }, 'invalid grpc password'],
    [{ eru: '' }, 'invalid grpc password'],
    [{ authorization: basic('Eru:other') }, 'invalid grpc password'],
    [{ authorization: 'Bearer eru_other' }, 'not known, or has expired'],
    [{ authorization: 'Bearer ' }, 'not known, or has expired'],
  ])('nothing else: %o', (metadata, text) => {
    expect(() => gate.admit(call(metadata as Record<string, string>))).toThrow(text);
  });

  test.each([['nobody'], ['root:x'], ['admin:'], ['']])('no certificate of %j', (certificate) => {
    expect(() => gate.admit(call({}, { certificate }))).toThrow(/certificate is of/);
  });
});

test('a token ends with its time', async () => {
  const shown = (): unknown => gate.admit(call({ authorization: 'Bearer eru_short' }));
  expect(shown()).toBeUndefined();
  await clock.advance(1000);
  expect(shown).toThrow('has expired');
});

test('a wrong credential is answered late to a peer that keeps guessing, a right one at once', async () => {
  const guess = (peer: string): unknown => gate.admit(call({ eru: 'wrong' }, { peer }));
  for (let index = 0; index < 10; index += 1) expect(() => guess(`10.0.0.1:${index}`)).toThrow('password');
  const late = expect(guess('10.0.0.1:99')).rejects.toThrow('invalid grpc password');
  expect(gate.admit(call({ eru: 'secret' }, { peer: '10.0.0.1:99' }))).toBeUndefined();
  expect(() => guess('10.0.0.2:1')).toThrow('password');
  await clock.advance(1000);
  await late;
  await clock.advance(60_000);
  expect(() => guess('10.0.0.1:1')).toThrow('password');
});

describe('a role lets through', () => {
  const methods = [...pb.CoreRPC.methods, ...eru.Eru.methods];

  test('a reader only looks, whatever methods come', () => {
    const looks = /^(Info|Get|List|Watch|Calculate|Plan|Log)|Stream$/;
    const readable = methods.filter((method) => roleFor(method) === 'read').map(({ name }) => name);
    expect(readable.filter((name) => !looks.test(name))).toEqual([]);
  });

  test('only an admin changes nodes, pods and tokens, or sees everything', () => {
    const guarded = methods.filter(({ name }) =>
      /^(Add|Set|Remove)(Pod|Node)$|Token|^DumpStore$|^RawEngine$/.test(name),
    );
    expect(guarded.filter((method) => roleFor(method) !== 'admin')).toEqual([]);
  });

  test.each(methods.map((method) => [method.name, method] as const))(
    'the machine of a node, and a token for one, %s: what they are for and nothing else',
    (name, method) => {
      const shows = (metadata: Record<string, string>, certificate?: string) => (): unknown =>
        gate.admit(call(metadata, { method, ...(certificate !== undefined && { certificate }) }));
      const forbidden = expect.objectContaining({ code: 'forbidden' }) as Error;
      const own = ['Info', 'WatchServiceStatus', 'GetNode', 'SetNodeStatus', 'ReportWorkloads', 'RenewCertificate'];
      if (own.includes(name)) expect(shows({}, 'node:n1')()).toBeUndefined();
      else expect(shows({}, 'node:n1')).toThrow(forbidden);
      const joins = shows({ authorization: 'Bearer eru_join_secret' });
      if (name === 'JoinNode') expect(joins()).toBeUndefined();
      else expect(joins).toThrow(forbidden);
    },
  );

  test('no machine whose certificate is not the one in the record of its node', () => {
    const shows = (certificate: string, fingerprint: string) => (): unknown =>
      gate.admit(call({}, { certificate, fingerprint }));
    expect(shows('node:n1', 'other')).toThrow('the certificate is dead: node n1 has joined anew');
    expect(shows('node:n2', '')).toThrow('the certificate is dead: node n2 was removed');
  });

  test.each(roles.flatMap((role) => methods.map((method) => [role, method.name, method] as const)))(
    '%s, %s: as the table says',
    (role, _name, method) => {
      const attempt = (): unknown => gate.admit(call({ authorization: `Bearer eru_${role}` }, { method }));
      const wanted = roleFor(method);
      const reaches = wanted !== 'node' && wanted !== 'join' && roles.indexOf(role) >= roles.indexOf(wanted);
      if (reaches) expect(attempt()).toBeUndefined();
      else expect(attempt).toThrow(expect.objectContaining({ code: 'forbidden' }) as Error);
    },
  );
});
