import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { currentLog, rotateLog } from './log-files.ts';
import { formatLog } from './log-format.ts';
import { readLog } from './log-reader.ts';

describe('reading a log that is rotated', () => {
  let parent: string;
  let folder: string;

  beforeEach(async () => {
    parent = await mkdtemp(path.join(tmpdir(), 'eru-log-'));
    folder = path.join(parent, 'log');
    await mkdir(folder);
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));

  /** One line, and a rotation after it. */
  async function write(line: number): Promise<void> {
    await appendFile(path.join(folder, currentLog), formatLog('stdout', Date.now(), Buffer.from(`${line}\n`)));
    await rotateLog(folder, { maxBytes: 1, files: 10_000 }, (file) => writeFile(file, ''));
  }

  it.each([undefined, 1])(
    'neither loses nor doubles a line, whatever it is doing when a file is closed (tail %s)',
    async (tail) => {
      const last = 120;
      await write(0);
      const gone = new AbortController();
      const writing = (async () => {
        for (let line = 1; line <= last; line++) await write(line);
        gone.abort();
      })();
      const seen: number[] = [];
      for await (const { data } of readLog(folder, { follow: true, ...(tail !== undefined && { tail }) }, gone.signal))
        seen.push(Number(Buffer.from(data).toString()));
      await writing;
      const first = tail === undefined ? 0 : (seen[0] ?? 0);
      expect(seen).toEqual(Array.from({ length: last + 1 - first }, (_, index) => first + index));
    },
  );

  it('tells a reader who comes too late how much was dropped', async () => {
    const limits = { maxBytes: 1, files: 3 };
    const bytes = formatLog('stdout', Date.now(), Buffer.from('0\n')).length;
    const add = async (line: number): Promise<void> => {
      await appendFile(path.join(folder, currentLog), formatLog('stdout', Date.now(), Buffer.from(`${line}\n`)));
      await rotateLog(folder, limits, (file) => writeFile(file, ''));
    };
    await add(0);
    const gone = new AbortController();
    const seen: [number, number | undefined][] = [];
    let last = 0;
    for await (const { data, lostBytes } of readLog(folder, { follow: true }, gone.signal)) {
      seen.push([Number(Buffer.from(data).toString()), lostBytes]);
      if (last === 0) for (last = 1; last < 10; last++) await add(last);
      gone.abort();
    }
    expect(seen).toEqual([
      [0, undefined],
      [8, 7 * bytes],
      [9, undefined],
    ]);
    const whole: (number | undefined)[] = [];
    for await (const { lostBytes } of readLog(folder, {}, gone.signal)) whole.push(lostBytes);
    expect(whole).toEqual([8 * bytes, undefined]);
    for await (const { lostBytes } of readLog(folder, { tail: 2 }, gone.signal)) expect(lostBytes).toBeUndefined();
  });
});
