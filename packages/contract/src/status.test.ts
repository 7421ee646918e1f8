import { EruError, invalid } from '@eru/kit';
import { expect, test } from 'vitest';

import { decodeError, encodeError, statusOf, wireMessage } from './status.ts';

test('an EruError comes back from the wire as it was thrown', () => {
  const thrown = invalid('count', 0, 'use 1 or more');
  const { code, message } = statusOf(thrown);
  const back = decodeError(code, message, encodeError(thrown));
  expect(back).toMatchObject({ code: 'invalid', message: thrown.message, details: { field: 'count', grpcCode: 3 } });
});

test('an application code of the original does not hide the error beneath it', () => {
  const back = decodeError(1031, 'node n1 exists', encodeError(new EruError('exists', 'node n1 exists')));
  expect(back).toMatchObject({ code: 'exists', details: { grpcCode: 1031 } });
});

test('peers that are not ours are understood by their code, and rubbish is not believed', () => {
  expect(decodeError(14, 'down')).toMatchObject({ code: 'unavailable' });
  expect(decodeError(1034, 'no such node')).toMatchObject({ code: 'failed', details: { grpcCode: 1034 } });
  expect(decodeError(5, 'x', '{"code":"constructor"}')).toMatchObject({ code: 'not_found' });
  expect(decodeError(5, 'x', 'not json')).toMatchObject({ code: 'not_found' });
});

test('what would break the header block is cut, never the code', () => {
  const huge = new EruError('no_capacity', 'x'.repeat(100_000), { details: { nodes: 'y'.repeat(100_000) } });
  expect(encodeError(huge).toString()).toBe('{"code":"no_capacity","details":{"truncated":true}}');
  expect(wireMessage(huge.message).length).toBeLessThan(9_000);
  expect(encodeError(new EruError('failed', 'x', { details: { total: 1n } })).toString()).toBe(
    '{"code":"failed","details":{}}',
  );
  expect(() => encodeURI(wireMessage('half a pair: \ud800'))).not.toThrow();
});
