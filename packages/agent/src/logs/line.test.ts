import { expect, test } from 'vitest';

import { advance, takenBefore } from './cursor.ts';
import { headOf, lineOf, localTime, partsOf, textOf } from './line.ts';
import { targetOf } from './target-choice.ts';

const state = {
  id: 'c0ffee',
  name: 'shop_front_web_AbCdEf',
  labels: { 'eru.nodename': 'n1', 'eru.coreid': 'c1' },
  networks: { bridge: '172.17.0.2' },
};

test('a line is the documented JSON, keys in the original’s order, ours at the end', () => {
  const head = headOf(state, 'web') ?? expect.fail('no head');
  const atMs = new Date(2026, 0, 31, 8, 15, 30, 120).getTime();
  const line = lineOf(head, { stream: 'stderr', atMs, data: Buffer.from('<a> "b"\r\n') }, 7);
  expect(line).toBe(
    '{"id":"c0ffee","name":"shop_front","type":"stderr","entrypoint":"web","ident":"AbCdEf","data":"<a> \\"b\\"",' +
      '"datetime":"2026-01-31 08:15:30.12","extra":{"podname":"web","nodename":"n1","coreid":"c1",' +
      `"networks_bridge":"172.17.0.2"},"time":"${new Date(atMs).toISOString()}","seq":7}\n`,
  );
});

test('a name has three parts, of which the first may have underscores', () => {
  expect(partsOf('/a_b_c_d')).toEqual({ app: 'a_b', entrypoint: 'c', ident: 'd' });
  expect(partsOf('a_b')).toBeUndefined();
  expect(partsOf('a__d')).toBeUndefined();
  expect(headOf({ ...state, name: 'plain' }, '')).toBeUndefined();
});

test('only the end of a line is cut off, and bytes that are no text are written out', () => {
  expect(textOf(Buffer.from('one\r\n'))).toBe('one');
  expect(textOf(Buffer.from('one\n\n'))).toBe('one\n');
  expect(textOf(Buffer.from('\u001b[1mbold\u001b[0m\tß'))).toBe('\u001b[1mbold\u001b[0m\tß');
  expect(textOf(Buffer.from('a\uFFFDb'))).toBe(String.raw`a\xff\xfdb`);
  expect(textOf(Buffer.from([0x61, 0xff, 0xc3, 0xa9, 0x07, 0x0d, 0xe2, 0x82]))).toBe('a\\xffé\\x07\r\\xe2\\x82');
  expect(textOf(new Uint8Array())).toBe('');
});

test('a time has no zone, and a fraction only where there is one', () => {
  const at = (ms: number): string => localTime(new Date(2026, 11, 1, 0, 0, 9, ms).getTime());
  expect([0, 5, 50, 500].map(at)).toEqual([
    '2026-12-01 00:00:09',
    '2026-12-01 00:00:09.005',
    '2026-12-01 00:00:09.05',
    '2026-12-01 00:00:09.5',
  ]);
});

test('targets are chosen as the original does', () => {
  expect(['param1', 'param2'].map((id) => targetOf(id, 2))).toEqual([1, 0]);
});

test('a log that is read again goes on after the last line that was taken', () => {
  const times = [1, 2, 2, 2, 3, 3, 5];
  for (let taken = 0; taken <= times.length; taken++) {
    let cursor = { atMs: 0, count: 0, seq: 0 };
    for (const atMs of times.slice(0, taken)) cursor = advance(cursor, atMs);
    const before = takenBefore(cursor);
    const again = times.filter((atMs) => atMs >= cursor.atMs).filter((atMs) => !before(atMs));
    expect(again).toEqual(times.slice(taken));
    expect(cursor.seq).toBe(taken);
  }
});
