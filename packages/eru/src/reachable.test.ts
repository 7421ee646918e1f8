import { expect, test } from 'vitest';

import { reachableAddress } from './reachable.ts';

test('an address is told as it is, all addresses as one that others can use, a socket file not at all', async () => {
  expect(await reachableAddress('10.1.2.3:5001')).toBe('10.1.2.3:5001');
  expect(await reachableAddress('[::1]:5001')).toBe('[::1]:5001');
  expect(await reachableAddress('0.0.0.0:5001')).toMatch(/^(?!0\.0\.0\.0)\d+\.\d+\.\d+\.\d+:5001$/);
  expect(await reachableAddress('[::]:7')).toMatch(/^(?!0\.0\.0\.0)\d+\.\d+\.\d+\.\d+:7$/);
  expect(await reachableAddress('unix:///run/eru.sock')).toBe('');
});
