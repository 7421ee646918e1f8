import { expect, test } from 'vitest';

import { foreignRequest } from './origin.ts';

test.each([
  [{ host: '127.0.0.1:5001' }],
  [{ host: '[::1]:5001' }],
  [{ host: 'localhost:5001' }],
  [{ host: 'LOCALHOST' }],
  [{ host: 'core.example:5001' }],
  [{ host: '127.0.0.1:5001', origin: 'http://127.0.0.1:5001' }],
  [{ host: 'core.example', origin: 'https://core.example' }],
])('answers %o', (headers) => {
  expect(foreignRequest({ headers }, ['core.example'])).toBeUndefined();
});

test.each([
  [{}, /without Host/],
  [{ host: 'evil.example:5001' }, /not known as "evil.example:5001"/],
  [{ host: 'core.example.evil' }, /not known/],
  [{ host: 'a b' }, /not known/],
  [{ host: '127.0.0.1:5001', origin: 'http://evil.example' }, /"http:\/\/evil.example" may not call/],
  [{ host: '127.0.0.1:5001', origin: 'http://127.0.0.1:8080' }, /may not call/],
  [{ host: '127.0.0.1:5001', origin: 'null' }, /may not call/],
])('refuses %o', (headers, reason) => {
  expect(foreignRequest({ headers }, ['core.example'])).toMatch(reason);
});
