import { createAuthority } from '@eru/contract';
import { seededRandom, silentLogger, VirtualClock } from '@eru/kit';
import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';

import { certificateLifeMs, validFor } from './certificate-life.ts';
import { CoreCertificates } from './core-certificates.ts';
import type { ClusterView } from '../state/view.ts';

const hourMs = 3_600_000;

test('a core makes its next certificate at two thirds of the life of the one before, from the same authority', async () => {
  const clock = new VirtualClock();
  const authority = {
    v: 1 as const,
    ...(await createAuthority({ name: 'ours', ...validFor(clock, certificateLifeMs) })),
  };
  const view = {
    authority: { get: () => ({ value: authority }) },
    subscribe: () => () => {},
  } as unknown as ClusterView;
  const certificates = new CoreCertificates({
    view,
    clock,
    random: seededRandom(1),
    logger: silentLogger,
    hosts: ['core.example', '10.0.0.1'],
  });
  const stop = new AbortController();
  await certificates.start(stop.signal);
  const told: string[] = [];
  certificates.onRenewal(({ cert }) => told.push(cert));
  const first = certificates.current();
  expect(new X509Certificate(first.cert).subjectAltName).toBe('DNS:core.example, IP Address:10.0.0.1');
  await clock.advance((certificateLifeMs * 2) / 3 - 2 * hourMs);
  await certificates.ready(stop.signal);
  expect(certificates.current()).toBe(first);
  await clock.advance(3 * hourMs);
  await certificates.ready(stop.signal);
  const second = certificates.current();
  expect(told).toEqual([second.cert]);
  expect(second.authority).toBe(first.authority);
  // The one before is still good while this one is new.
  expect(Date.parse(new X509Certificate(first.cert).validTo)).toBeGreaterThan(clock.now() + 9 * 24 * hourMs);
  stop.abort();
});
