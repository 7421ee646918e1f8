import type { Engine, LogEntry } from '@eru/engines';
import { EruError, systemClock } from '@eru/kit';
import { expect, test } from 'vitest';

import { printed } from './lambda-output.ts';

const line = (atMs: number, text: string): LogEntry => ({ atMs, stream: 'stdout', data: Buffer.from(text) });
const log = [line(1, 'one\n'), line(1, 'two\n'), line(2, 'three\n')];

/** Each call of the log answers the next of these: so many lines, and how that ends. */
function engineWith(answers: { lines: number; fails?: boolean }[]): () => Engine {
  const logs = async function* (_id: string, { sinceMs = 0 }: { sinceMs?: number } = {}): AsyncIterable<LogEntry> {
    const { lines = 0, fails = false } = answers.shift() ?? {};
    for (const entry of log.slice(0, lines)) if (entry.atMs >= sinceMs) yield entry;
    if (fails) throw new EruError('unavailable', 'Connection dropped');
  };
  return () => ({ logs }) as unknown as Engine;
}

test.each([
  ['while it runs', [{ lines: 2, fails: true }, { lines: 3 }]],
  ['after its exit', [{ lines: 1 }, { lines: 2, fails: true }, { lines: 0, fails: true }, { lines: 3 }]],
])('every line once, though the daemon of the node dies %s', async (_when, answers) => {
  const read: string[] = [];
  const exited = Promise.resolve();
  const never = new AbortController().signal;
  for await (const { data } of printed(engineWith(answers), 'id', exited, systemClock, never))
    read.push(Buffer.from(data).toString());
  expect(read).toEqual(['one\n', 'two\n', 'three\n']);
  expect(answers).toEqual([]);
});
