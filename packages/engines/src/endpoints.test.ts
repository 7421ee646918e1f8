import { systemClock, systemRandom } from '@eru/kit';
import { expect, test } from 'vitest';

import { createEngines } from './endpoints.ts';

const certificates = { ca: 'ca', cert: 'cert', key: 'key' };

test('one client for an endpoint and its certificates, until it is dropped', async () => {
  const engines = createEngines({ clock: systemClock, random: systemRandom });
  const first = engines.get('mock://a', certificates);
  const other = engines.get('mock://a', { ...certificates, cert: 'renewed' });
  expect(engines.get('mock://a', certificates)).toBe(first);
  expect(other).not.toBe(first);
  engines.drop('mock://a', certificates);
  await expect(first.ping()).rejects.toMatchObject({ code: 'canceled' });
  await other.ping();
  const second = engines.get('mock://a', certificates);
  expect(second).not.toBe(first);
  await second.ping();
  engines.drop('mock://never-asked-for');
  await engines.close();
  await expect(second.ping()).rejects.toMatchObject({ code: 'canceled' });
});
