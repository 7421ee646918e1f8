import { createAuthority, issueCertificate, type KeyPair } from '@eru/contract';
import { isEruError, retry, systemClock } from '@eru/kit';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { describeWith } from '../../../tests/parts.ts';
import { follow } from './conformance.suite.ts';
import { EtcdProcess } from './etcd-process.ts';
import { openEtcdStore } from './etcd.ts';
import type { Store, TxnOp } from './store.ts';

const day = 24 * 3600 * 1000;

describeWith(['etcd'], 'etcd as people run it', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-etcd-files-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** Writes texts to files and answers their paths, by name. */
  async function files<Name extends string>(texts: Record<Name, string>): Promise<Record<Name, string>> {
    const entries = Object.entries<string>(texts).map(async ([name, text]) => {
      const file = path.join(folder, name);
      await writeFile(file, text);
      return [name, file] as const;
    });
    return Object.fromEntries(await Promise.all(entries)) as Record<Name, string>;
  }

  describe('limits are found, not assumed', () => {
    it.each([
      ['the defaults', {}, { txnOperations: 128, txnBytes: 1_572_864 }],
      ['lower ones', { 'max-txn-ops': '37', 'max-request-bytes': '262144' }, { txnOperations: 37, txnBytes: 262_144 }],
      ['higher ones, up to our own bound', { 'max-txn-ops': '2000' }, { txnOperations: 512 }],
    ])('%s', async (_name, flags, limits) => {
      const etcd = await EtcdProcess.start({ flags });
      try {
        const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
        expect(store.limits).toMatchObject(limits);
        const puts = (count: number, bytes: number): TxnOp[] =>
          Array.from({ length: count }, (_, index) => ({ op: 'put', key: `k/${index}`, value: new Uint8Array(bytes) }));
        const { txnOperations, txnBytes } = store.limits;
        await store.txn({ then: puts(txnOperations, 1) });
        await store.txn({ then: puts(1, txnBytes - 200) });
        await expect(store.txn({ then: puts(txnOperations + 1, 1) })).rejects.toMatchObject({ code: 'too_large' });
        await expect(store.txn({ then: puts(1, txnBytes) })).rejects.toMatchObject({ code: 'too_large' });
        const { revision } = await store.range({ prefix: '' });
        expect(revision).toBe(3); // the probes have written nothing: the first revision is 1
        await store.close();
      } finally {
        await etcd.remove();
      }
    });
  });

  describe('users', () => {
    const credential = { username: 'eru', password: 'a secret: with / and @' };
    let etcd: EtcdProcess;
    beforeAll(async () => {
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const pem = await files({
        'jwt.pub': String(publicKey.export({ type: 'spki', format: 'pem' })),
        'jwt.key': String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      });
      // A token that lapses within the test; etcd's simple ones live for five minutes.
      const token = `jwt,pub-key=${pem['jwt.pub']},priv-key=${pem['jwt.key']},sign-method=RS256,ttl=2s`;
      etcd = await EtcdProcess.start({ flags: { 'auth-token': token }, client: { credential } });
      const admin = async (call: string, body: object): Promise<void> => {
        const answer = await fetch(`http://${etcd.endpoint}/v3/auth/${call}`, {
          method: 'POST',
          body: JSON.stringify(body),
        });
        expect(await answer.text(), call).not.toContain('"error"');
      };
      const bytes = (text: string): string => Buffer.from(text).toString('base64');
      await admin('user/add', { name: 'root', password: 'root' });
      await admin('user/grant', { user: 'root', role: 'root' });
      await admin('user/add', { name: credential.username, password: credential.password });
      await admin('role/add', { name: 'eru' });
      const perm = { permType: 'READWRITE', key: bytes('/eru/'), range_end: bytes('/eru0') };
      await admin('role/grant', { name: 'eru', perm });
      await admin('user/grant', { user: credential.username, role: 'eru' });
      await admin('enable', {});
    });
    afterAll(() => etcd.remove());

    it('works with a user of one role, and says who was refused and why', async () => {
      const store = await openEtcdStore({ endpoints: [etcd.endpoint], credential });
      await store.txn({ then: [{ op: 'put', key: 'x', value: Buffer.from('1') }] });
      expect((await store.get('x'))?.version).toBe(1);
      expect(store.limits).toEqual({ txnOperations: 128, txnBytes: 1_572_864 });
      await store.close();
      const endpoints = [etcd.endpoint];
      await expect(openEtcdStore({ endpoints })).rejects.toMatchObject({ code: 'unauthenticated' });
      const wrong = { ...credential, password: 'wrong' };
      await expect(openEtcdStore({ endpoints, credential: wrong })).rejects.toMatchObject({
        code: 'unauthenticated',
        message: expect.stringMatching(/etcd at .*: etcd refuses user "eru": .*invalid user ID or password/) as string,
      });
      await expect(openEtcdStore({ endpoints, credential, prefix: '/other/' })).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining('permission denied') as string,
      });
    });

    it('gets a new token when the old one has lapsed: calls, leases, old watches and new ones go on', async () => {
      const store = await openEtcdStore({ endpoints: [etcd.endpoint], credential });
      const first = follow(store, { prefix: 'w/' });
      await first.next();
      const lease = await store.grantLease(60_000);
      await systemClock.sleep(2_500); // etcd's clock decides over its tokens
      const second = follow(store, { prefix: 'w/' });
      await second.next();
      await store.txn({ then: [{ op: 'put', key: 'w/1', value: Buffer.from('1'), lease: lease.id }] });
      await store.renewLease(lease.id);
      expect(await first.changes(1)).toHaveLength(1);
      expect(await second.changes(1)).toHaveLength(1);
      await Promise.all([first.stop(), second.stop()]);
      await store.close();
    });
  });

  describe('TLS', () => {
    let authority: KeyPair;
    let client: KeyPair;
    let etcd: EtcdProcess;
    const validity = { notBeforeMs: Date.now() - day, notAfterMs: Date.now() + day };
    beforeAll(async () => {
      authority = await createAuthority({ name: 'test authority', ...validity });
      const server = await issueCertificate(authority, {
        name: 'etcd',
        hosts: ['127.0.0.1', 'localhost'],
        usage: 'both', // etcd's own gateway connects to it as a client
        ...validity,
      });
      client = await issueCertificate(authority, { name: 'eru', usage: 'client', ...validity });
      const pem = await files({ 'ca.pem': authority.cert, 'server.pem': server.cert, 'server.key': server.key });
      etcd = await EtcdProcess.start({
        flags: {
          'cert-file': pem['server.pem'],
          'key-file': pem['server.key'],
          'trusted-ca-file': pem['ca.pem'],
          'client-cert-auth': 'true',
        },
        client: { tls: { ca: authority.cert, ...client } },
      });
    });
    afterAll(() => etcd.remove());

    it('works with a certificate, also by name', async () => {
      for (const endpoint of [etcd.endpoint, etcd.endpoint.replace('127.0.0.1', 'localhost')]) {
        const store = await openEtcdStore({ endpoints: [endpoint], tls: { ca: authority.cert, ...client } });
        await store.txn({ then: [{ op: 'put', key: 'x', value: Buffer.from('1') }] });
        await store.close();
      }
    });

    it('refuses a server of another authority, and comes in with no, a foreign or an expired certificate nowhere', async () => {
      const other = await createAuthority({ name: 'other', ...validity });
      const foreign = await issueCertificate(other, { name: 'eru', usage: 'client', ...validity });
      const expired = await issueCertificate(authority, {
        name: 'eru',
        usage: 'client',
        notBeforeMs: Date.now() - 2 * day,
        notAfterMs: Date.now() - day,
      });
      const attempts = [
        { ca: other.cert, ...client },
        { ca: authority.cert },
        { ca: authority.cert, ...foreign },
        { ca: authority.cert, ...expired },
      ];
      for (const tls of attempts) {
        await expect(openEtcdStore({ endpoints: [etcd.endpoint], tls })).rejects.toMatchObject({ code: 'unavailable' });
      }
      await expect(openEtcdStore({ endpoints: [etcd.endpoint] })).rejects.toMatchObject({
        code: expect.stringMatching(/^(unavailable|timeout)$/) as string,
      });
      await expect(
        openEtcdStore({ endpoints: [etcd.endpoint], tls: { ca: authority.cert, cert: client.cert } }),
      ).rejects.toMatchObject({ code: 'invalid' });
    });
  });

  describe('three members', () => {
    let members: EtcdProcess[];
    let store: Store;
    beforeAll(async () => {
      members = await EtcdProcess.startCluster(3);
      store = await openEtcdStore({ endpoints: members.map(({ endpoint }) => endpoint) });
    });
    afterAll(async () => {
      await store.close();
      await Promise.all(members.map((member) => member.remove()));
    });

    it('loses no acknowledged write and no event while each member is killed in turn', async () => {
      const watch = follow(store, { prefix: 'w/' });
      await watch.next();
      const acknowledged: string[] = [];
      let index = 0;
      const writeUntil = async (count: number): Promise<void> => {
        while (acknowledged.length < count) {
          const key = `w/${index++}`;
          try {
            await store.txn({ then: [{ op: 'put', key, value: Buffer.from('') }] });
            acknowledged.push(key);
          } catch (error) {
            expect(isEruError(error) ? error.code : error).toMatch(/^(unavailable|timeout)$/);
            await systemClock.sleep(50);
          }
        }
      };
      for (const [round, member] of members.entries()) {
        await writeUntil(50 * round + 25);
        await member.kill();
        await writeUntil(50 * round + 50);
        await member.start();
      }
      const { kvs } = await store.range({ prefix: 'w/' });
      const present = new Set(kvs.map(({ key }) => key));
      expect(acknowledged.filter((key) => !present.has(key))).toEqual([]);
      const seen = (await watch.changes(kvs.length)).flatMap(({ events }) => events);
      expect(new Set(seen.map((event) => (event.type === 'put' ? event.kv.key : '')))).toEqual(present);
      await watch.stop();
    });

    it('refuses without a majority instead of answering from the past, and goes on when there is one again', async () => {
      await store.txn({ then: [{ op: 'put', key: 'q', value: Buffer.from('1') }] });
      const [, second, third] = members as [EtcdProcess, EtcdProcess, EtcdProcess];
      await Promise.all([second.kill(), third.kill()]);
      await expect(store.get('q')).rejects.toMatchObject({
        code: expect.stringMatching(/^(unavailable|timeout)$/) as string,
      });
      await Promise.all([second.start(), third.start()]);
      await retry(() => store.get('q'), { attempts: 50, maxMs: 200 });
      await store.txn({ then: [{ op: 'put', key: 'q', value: Buffer.from('2') }] });
      expect((await store.get('q'))?.version).toBe(2);
    });
  });
});
