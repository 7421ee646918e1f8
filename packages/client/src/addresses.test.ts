import { expect, test } from 'vitest';

import { parseAddresses } from './addresses.ts';

test('every form of the original, in the order given and without doubles', () => {
  expect(parseAddresses('127.0.0.1:5001')).toEqual({ addresses: ['127.0.0.1:5001'], discover: false });
  expect(parseAddresses(['a:1', ' b:2,c:3 ', 'a:1']).addresses).toEqual(['a:1', 'b:2', 'c:3']);
  expect(parseAddresses('static:///a:1,b:2')).toEqual({ addresses: ['a:1', 'b:2'], discover: false });
  expect(parseAddresses('eru:///a:1')).toEqual({ addresses: ['a:1'], discover: true });
  expect(parseAddresses('eru://a:1').addresses).toEqual(['a:1']);
  expect(parseAddresses('unix:///run/eru.sock').addresses).toEqual(['unix:///run/eru.sock']);
});

test('nothing to connect to is refused', () => {
  expect(() => parseAddresses('')).toThrow(/HOST:PORT/);
  expect(() => parseAddresses(['static:///', ','])).toThrow(/HOST:PORT/);
});
