import { createAuthority, issueCertificate, type ClientTls, type KeyPair } from '@eru/contract';
import { connectEngine, SimulatedMachine } from '@eru/engines';
import { Closer, EruError, seededRandom, silentLogger, systemClock } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { serveRemote } from './remote.ts';

const hourMs = 3_600_000;
const life = { notBeforeMs: Date.now() - hourMs, notAfterMs: Date.now() + hourMs };

let owned: Closer;
let authority: KeyPair;
let address: string;
let renew: (authority: KeyPair) => Promise<void>;

beforeEach(async () => {
  owned = new Closer();
  authority = await createAuthority({ name: 'ours', ...life });
  const machine = new SimulatedMachine({
    name: 'm',
    clock: systemClock,
    random: seededRandom(1),
    cpus: 2,
    memoryBytes: 2 ** 30,
  });
  const tlsOf = async (issuer: KeyPair) => ({ ...(await issue('node:n1', issuer)), authority: issuer.cert });
  const remote = await serveRemote({
    listen: '127.0.0.1:0',
    engine: machine.engine(),
    tls: await tlsOf(authority),
    logger: silentLogger,
  });
  owned.add('daemon', () => remote.close());
  ({ address } = remote);
  renew = async (issuer) => remote.setTls(await tlsOf(issuer));
});
afterEach(() => owned.close());

function issue(name: string, issuer = authority): Promise<KeyPair> {
  return issueCertificate(issuer, { name, usage: 'both', ...life });
}

async function ask(own: KeyPair | undefined, ca = authority.cert): Promise<string> {
  const identity: ClientTls['identity'] = ({ name }) => name === 'node:n1';
  const engine = connectEngine({ address, tls: { ca, identity, ...own } });
  try {
    return (await engine.info({ timeoutMs: 5_000 })).type;
  } catch (error) {
    return EruError.from(error).message;
  } finally {
    await engine.close();
  }
}

test('a daemon on the network answers cores of its cluster, and nobody else', async () => {
  expect(await ask(await issue('core:1'))).toBe('simulated');
  expect(await ask(undefined)).toContain('answers only who shows the certificate of a core');
  expect(await ask(await issue('node:n2'))).toContain('answers cores only, not node:n2');
  const other = await createAuthority({ name: 'not ours', ...life });
  expect(await ask(await issue('core:1', other))).not.toBe('simulated');
});

test('it shows its next certificate to who comes after, and those who are there stay', async () => {
  const engine = connectEngine({
    address,
    tls: { ca: authority.cert, identity: () => true, ...(await issue('core:1')) },
  });
  owned.add('core', () => engine.close());
  await engine.ping();
  const next = await createAuthority({ name: 'next', ...life });
  await renew(next);
  await engine.ping();
  expect(await ask(await issue('core:1', next), next.cert)).toBe('simulated');
  expect(await ask(await issue('core:1'))).not.toBe('simulated');
});
