import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';

import type { Shell } from '../context.ts';
import { Progress } from './progress.ts';

/** A terminal of 30 columns, and what was written to it. */
function terminal(): { shell: Shell; written: () => string } {
  const stderr = Object.assign(new PassThrough(), { isTTY: true, columns: 30, rows: 5 });
  const shell = { stderr } as unknown as Shell;
  return { shell, written: () => String(stderr.read() ?? '') };
}

test('what stands last on a terminal is whole, however narrow it is and however many they are', () => {
  const { shell, written } = terminal();
  const progress = new Progress(shell);
  const reason = 'failed: a reason that is longer than the line is wide';
  const names = Array.from({ length: 9 }, (_, index) => `web_${index}`);
  for (const name of names) progress.set(name, reason);
  progress.close();
  expect(
    written()
      .split('\n')
      .filter((line) => line.endsWith(reason)),
  ).toHaveLength(names.length);
});
