import { expect, it } from 'vitest';

import { readLogLimits } from './log-limits.ts';

const defaults = { maxBytes: 1, files: 2 };

it('reads the keys of Docker', () => {
  expect(readLogLimits({ type: '', config: {} }, defaults)).toEqual(defaults);
  expect(readLogLimits({ type: 'json-file', config: { 'max-size': '10m', 'max-file': '3' } }, defaults)).toEqual({
    maxBytes: 10 * 2 ** 20,
    files: 3,
  });
  expect(readLogLimits({ type: 'local', config: { 'max-file': '1' } }, defaults)).toEqual({ maxBytes: 1, files: 1 });
});

it.each([
  ['journald', {}, /log\.type: .*journald.*write json-file or local/],
  ['json-file', { 'max-sise': '1m' }, /log\.config: max-sise .*did you mean max-size/],
  ['json-file', { tag: 'x' }, /tag is not known for processes; there are max-size and max-file/],
  ['json-file', { 'max-size': '12' }, /log\.config\.max-size.*"12".*at least 4K/],
  ['json-file', { 'max-size': 'big' }, /log\.config\.max-size.*"big"/],
  ['json-file', { 'max-file': '0' }, /log\.config\.max-file.*"0".*1 to 1000/],
])('refuses %s %o', (type, config, message) => {
  expect(() => readLogLimits({ type, config: config as Record<string, string> }, defaults)).toThrow(message);
});
