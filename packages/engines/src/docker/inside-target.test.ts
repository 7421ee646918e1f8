import { pack, type Header } from 'tar-stream';
import { expect, it } from 'vitest';

import { all, refused } from '../contract/bench.suite.ts';
import { insideTarget } from './inside-target.ts';

/** An archive of files of 1000 `x` under these names. */
async function archiveOf(...names: readonly string[]): Promise<Buffer> {
  const archive = pack();
  for (const name of names) archive.entry({ name } as Header, 'x'.repeat(1000));
  archive.finalize();
  return Buffer.concat(await all(archive as AsyncIterable<Uint8Array>));
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

it.each([1, 511, 512, 700, 10_000])('an archive passes unchanged, in pieces of %i bytes', async (size) => {
  const archive = await archiveOf('a', './b/c', `${'long/'.repeat(60)}name`, 'd..e/..f');
  const passed = Buffer.concat(await all(insideTarget(pieces(archive, size))));
  expect(passed.equals(archive)).toBe(true);
});

it.each(['../evil', 'a/../../evil', '/etc/evil', `${'long/'.repeat(60)}../evil`])(
  'nothing of %s passes, nor what comes after it',
  async (name) => {
    const archive = await archiveOf('good', name, 'later');
    for (const size of [1, 300, 512, 10_000]) {
      let passed = '';
      const passing = async (): Promise<void> => {
        for await (const piece of insideTarget(pieces(archive, size))) passed += Buffer.from(piece).toString('latin1');
      };
      await refused(passing(), 'invalid');
      // Files were passed on whole, or not begun.
      expect(passed.split('x'.repeat(1000)).length).toBe(size === 10_000 ? 1 : 2);
    }
  },
);

it('what is no archive is refused, and the failure of what is one is its own', async () => {
  await refused(all(insideTarget(pieces(Buffer.alloc(1000, 'no tar'), 100))), 'invalid');
  const archive = await archiveOf('a');
  const broken = async function* (): AsyncGenerator<Uint8Array> {
    yield archive.subarray(0, 700);
    throw new Error('the caller has left');
  };
  await expect(all(insideTarget(broken()))).rejects.toThrow('the caller has left');
});
