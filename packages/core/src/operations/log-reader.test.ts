import type { Engine, LogEntry, LogOptions } from '@eru/engines';
import { EruError, systemClock } from '@eru/kit';
import { expect, test } from 'vitest';

import { printed } from './lambda-output.ts';
import { wholeLog } from './log-reader.ts';

const line = (atMs: number, text: string): LogEntry => ({ atMs, stream: 'stdout', data: Buffer.from(text) });
const log = [line(1, 'one\n'), line(1, 'two\n'), line(2, 'three\n')];

interface Answer {
  lines: number;
  fails?: boolean | 'not_found' | 'failed';
}

/** Each call of the log answers the next of these: so many lines, and how that ends. */
function engineWith(answers: Answer[], inspect = async () => ({})): () => Engine {
  const logs = async function* (_id: string, { sinceMs = 0, tail }: LogOptions = {}): AsyncIterable<LogEntry> {
    const { lines = 0, fails = false } = answers.shift() ?? {};
    const said = log.slice(0, lines).filter(({ atMs }) => atMs >= sinceMs);
    yield* tail === undefined ? said : said.slice(-tail);
    if (fails !== false) throw new EruError(fails === true ? 'unavailable' : fails, 'Connection dropped');
  };
  return () => ({ logs, inspect }) as unknown as Engine;
}

const never = new AbortController().signal;

async function textOf(lines: AsyncIterable<LogEntry>): Promise<string[]> {
  const read: string[] = [];
  for await (const { data } of lines) read.push(Buffer.from(data).toString());
  return read;
}

test.each([
  ['while it runs', [{ lines: 2, fails: true }, { lines: 3 }]],
  ['after its exit', [{ lines: 1 }, { lines: 2, fails: true }, { lines: 0, fails: true }, { lines: 3 }]],
])('every line once, though the daemon of the node dies %s', async (_when, answers) => {
  expect(await textOf(printed(engineWith(answers), 'id', Promise.resolve(), systemClock, never))).toEqual([
    'one\n',
    'two\n',
    'three\n',
  ]);
  expect(answers).toEqual([]);
});

test.each<[string, Answer[], LogOptions, string[]]>([
  ['follows on', [{ lines: 1, fails: true }, { lines: 3 }], {}, ['one\n', 'two\n', 'three\n']],
  ['gives the last lines once', [{ lines: 3, fails: true }, { lines: 3 }], { tail: 1 }, ['three\n']],
  ['asks the same where nothing came', [{ lines: 0, fails: true }, { lines: 3 }], { sinceMs: 2 }, ['three\n']],
  [
    'ends where it was removed meanwhile',
    [
      { lines: 1, fails: true },
      { lines: 0, fails: 'not_found' },
    ],
    {},
    ['one\n'],
  ],
])('a log whose node goes away %s', async (_what, answers, options, lines) => {
  const whole = wholeLog(engineWith(answers), 'id', systemClock, { ...options, follow: true, signal: never });
  expect(await textOf(whole)).toEqual(lines);
  expect(answers).toEqual([]);
});

test.each<[string, Answer, LogOptions, string]>([
  ['is not followed', { lines: 1, fails: true }, {}, 'unavailable'],
  ['cannot be read', { lines: 1, fails: 'failed' }, { follow: true }, 'failed'],
  ['was never there', { lines: 0, fails: 'not_found' }, { follow: true }, 'not_found'],
])('a log that %s fails at once', async (_what, answer, options, code) => {
  const whole = wholeLog(engineWith([answer]), 'id', systemClock, { ...options, signal: never });
  await expect(textOf(whole)).rejects.toMatchObject({ code });
});

test('a node that does not answer from the first fails a log that is to be followed', async () => {
  const silent = async (): Promise<never> => {
    throw new EruError('unavailable', 'nobody there');
  };
  const whole = wholeLog(engineWith([], silent), 'id', systemClock, { follow: true, signal: never });
  await expect(textOf(whole)).rejects.toMatchObject({ code: 'unavailable' });
});
