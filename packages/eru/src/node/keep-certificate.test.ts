import { createAuthority, describeCertificate, issueCertificate, signCertificate, type KeyPair } from '@eru/contract';
import { EruError, silentLogger, VirtualClock } from '@eru/kit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { keepCertificate } from './keep-certificate.ts';
import { readIdentity, writeIdentity, type NodeIdentity } from './node-identity.ts';

const minuteMs = 60_000;
const lifeMs = 90 * minuteMs;

let root: string;
let data: { root: string; node: string };
let clock: VirtualClock;
let authority: KeyPair;
let first: NodeIdentity;
let asked: string[];
let refusal: EruError | undefined;
let stop: AbortController;
let loops: Promise<void>[];

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'eru-keep-'));
  data = { root, node: path.join(root, 'node.json') };
  clock = new VirtualClock();
  authority = await createAuthority({ name: 'ours', ...life() });
  const own = await issueCertificate(authority, { name: 'node:n1', usage: 'both', ...life() });
  first = { node: 'n1', cores: 'core:5001', listen: ':5002', authority: authority.cert, ...own, token: 'x' };
  await writeIdentity(data, first);
  [asked, loops, refusal, stop] = [[], [], undefined, new AbortController()];
});
afterEach(async () => {
  stop.abort();
  await Promise.all(loops);
  await rm(root, { recursive: true, force: true });
});

function life(): { notBeforeMs: number; notAfterMs: number } {
  return { notBeforeMs: clock.now(), notAfterMs: clock.now() + lifeMs };
}

/** A daemon or an agent; answers what it has been told to use. */
function keep(): NodeIdentity[] {
  const used: NodeIdentity[] = [];
  const renew = async (identity: NodeIdentity, selfSigned: string): Promise<string> => {
    asked.push(identity.cert);
    if (refusal !== undefined) throw refusal;
    return signCertificate(authority, selfSigned, { name: 'node:n1', usage: 'both', ...life() });
  };
  const options = { data, identity: first, renew, clock, logger: silentLogger, signal: stop.signal };
  loops.push(keepCertificate({ ...options, use: (identity) => used.push(identity) }));
  return used;
}

/** Files and keys take real time; the clock waits for nothing but itself. */
async function pass(minutes: number): Promise<void> {
  for (let minute = 0; minute < minutes; minute++) {
    await clock.advance(minuteMs);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Of a busy machine: the clock of the test is its own. */
const patient = { timeout: 30_000, interval: 1 };

test('the daemon and the agent of a machine: one of them asks at two thirds of the life, and both use the answer', async () => {
  const [daemon, agent] = [keep(), keep()];
  await pass(59);
  expect(asked).toEqual([]);
  await expect
    .poll(async () => {
      await pass(1);
      return [daemon.length, agent.length];
    }, patient)
    .toEqual([1, 1]);
  expect(asked).toEqual([first.cert]);
  const kept = await readIdentity(data);
  expect(daemon[0]).toMatchObject({ cert: kept?.cert, key: kept?.key, node: 'n1', listen: ':5002' });
  expect(agent[0]?.cert).toBe(kept?.cert);
  expect(kept?.key).not.toBe(first.key);
  // Its own key, and longer good than the one before.
  expect(describeCertificate(kept?.cert ?? '').notAfterMs).toBeGreaterThan(describeCertificate(first.cert).notAfterMs);
});

test('a core that does not answer is asked again every ten minutes, and the certificate stays', async () => {
  refusal = new EruError('unavailable', 'connect ECONNREFUSED');
  const used = keep();
  await expect
    .poll(async () => {
      await pass(1);
      return asked.length;
    }, patient)
    .toBe(2);
  expect(used).toEqual([]);
  expect((await readIdentity(data))?.cert).toBe(first.cert);
  refusal = undefined;
  await expect
    .poll(async () => {
      await pass(1);
      return used.length;
    }, patient)
    .toBe(1);
});
