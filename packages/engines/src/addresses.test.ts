import { expect, test } from 'vitest';

import { addressList, addressText, firstAddress, hostOf, wantedAddresses } from './addresses.ts';

test('addresses of both families are one text, IPv4 first', () => {
  expect(addressText(['fd00::2', '', '10.8.0.2'])).toBe('10.8.0.2,fd00::2');
  expect(addressList('10.8.0.2,fd00::2')).toEqual(['10.8.0.2', 'fd00::2']);
  expect(addressList(addressText([]))).toEqual([]);
  expect([firstAddress('10.8.0.2,fd00::2'), firstAddress('fd00::2'), firstAddress('')]).toEqual([
    '10.8.0.2',
    'fd00::2',
    '',
  ]);
  expect([hostOf('10.8.0.2'), hostOf('fd00::2')]).toEqual(['10.8.0.2', '[fd00::2]']);
});

test('one address of a family can be wanted', () => {
  expect(wantedAddresses('web', 'fd00::10,10.8.0.10')).toEqual({ ipv4: '10.8.0.10', ipv6: 'fd00::10' });
  expect(wantedAddresses('web', '')).toEqual({ ipv4: '', ipv6: '' });
  for (const text of ['10.8.0', '10.8.0.1,', '10.8.0.1,10.8.0.2', 'fd00::1,fd00::2', 'fe80::1%eth0', '10.8.0.0/24'])
    expect(() => wantedAddresses('web', text), text).toThrow(`networks: "web=${text}" is not allowed; write an IP`);
});
