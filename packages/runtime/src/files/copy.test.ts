import { chmod, lstat, mkdir, mkdtemp, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { readTar } from '@eru/engines';
import { pack, type Header } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { packed, unpack } from './copy.ts';
import { Rooted } from './rooted.ts';

let base: string;
let root: string;
const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

beforeEach(async () => {
  base = await mkdtemp(path.join(tmpdir(), 'eru-copy-'));
  root = path.join(base, 'root');
  await mkdir(path.join(root, 'data'), { recursive: true });
  await mkdir(path.join(base, 'outside'));
  await writeFile(path.join(base, 'outside/secret'), 'secret');
});
afterEach(() => rm(base, { recursive: true, force: true }));

function tarOf(...entries: [Partial<Header>, string?][]): AsyncIterable<Uint8Array> {
  const archive = pack();
  for (const [header, text = ''] of entries) archive.entry({ ...owner, ...header } as Header, text);
  archive.finalize();
  return archive as AsyncIterable<Uint8Array>;
}

async function into(target: string, tar: AsyncIterable<Uint8Array>, lower?: string): Promise<void> {
  const view = await Rooted.open(root, lower === undefined ? undefined : await Rooted.open(lower));
  try {
    await unpack(view, target, tar);
  } finally {
    await view.close();
  }
}

async function outOf(source: string): Promise<ReturnType<typeof readTar>> {
  const view = await Rooted.open(root);
  const pieces: Uint8Array[] = [];
  try {
    for await (const piece of packed(view, source)) pieces.push(piece);
  } finally {
    await view.close();
  }
  return readTar(Buffer.concat(pieces));
}

const at = (name: string): string => path.join(root, name);

describe('copy in', () => {
  it('keeps modes, links and folders', async () => {
    await into(
      '/data',
      tarOf(
        [{ name: 'd', type: 'directory', mode: 0o750 }],
        [{ name: 'd/run', mode: 0o4755 }, 'run'],
        [{ name: 'd/link', type: 'symlink', linkname: 'run' }],
        [{ name: 'd/same', type: 'link', linkname: 'd/run' }],
        [{ name: `d/${'long'.repeat(60)}` }, 'long'],
      ),
    );
    expect((await lstat(at('data/d'))).mode & 0o7777).toBe(0o750);
    expect((await lstat(at('data/d/run'))).mode & 0o7777).toBe(0o4755);
    expect(await readlink(at('data/d/link'))).toBe('run');
    expect((await lstat(at('data/d/same'))).ino).toBe((await lstat(at('data/d/run'))).ino);
    expect(await readFile(at(`data/d/${'long'.repeat(60)}`), 'utf8')).toBe('long');
  });

  it('is led out by no link, neither one that is there nor one that comes with it', async () => {
    await symlink(path.join(base, 'outside'), at('data/away'));
    await symlink('../../../../../..', at('data/up'));
    // What the links mean inside: these places below the root, which are made.
    await into('/data', tarOf([{ name: 'away/secret' }, 'mine']));
    await into('/data/up', tarOf([{ name: 'top' }, 'mine']));
    await into(
      '/data',
      tarOf(
        [{ name: 'new', type: 'symlink', linkname: path.join(base, 'outside') }],
        [{ name: 'new/secret' }, 'again'],
      ),
    );
    expect(await readFile(path.join(base, 'outside/secret'), 'utf8')).toBe('secret');
    expect(await readFile(path.join(root, base, 'outside/secret'), 'utf8')).toBe('again');
    expect(await readFile(at('top'), 'utf8')).toBe('mine');
    // A link in the place of a file is replaced, not written through.
    await symlink(path.join(base, 'outside/secret'), at('data/file'));
    await into('/data', tarOf([{ name: 'file' }, 'mine']));
    expect(await readFile(at('data/file'), 'utf8')).toBe('mine');
    expect(await readFile(path.join(base, 'outside/secret'), 'utf8')).toBe('secret');
  });

  it('refuses what leaves the folder, is no archive, is cut short, or is a device', async () => {
    const refused = (target: string, tar: AsyncIterable<Uint8Array>) =>
      expect(into(target, tar)).rejects.toMatchObject({ code: 'invalid' });
    await refused('/data', tarOf([{ name: '../evil' }, 'x']));
    await refused('/data', tarOf([{ name: 'zero', type: 'character-device' }]));
    await refused('/data', bytes(Buffer.alloc(1024, 'no tar')));
    const pieces: Uint8Array[] = [];
    for await (const piece of tarOf([{ name: 'a' }, 'x'.repeat(2000)])) pieces.push(piece);
    const whole = Buffer.concat(pieces);
    await refused('/data', bytes(whole.subarray(0, 1000)));
    await writeFile(at('data/plain'), '');
    await refused('/data/plain', tarOf([{ name: 'a' }, 'x']));
    await symlink('loop', at('data/loop'));
    await refused('/data/loop', tarOf([{ name: 'a' }, 'x']));
  });

  it('into a layer makes folders like those below, and follows the links there', async () => {
    const lower = path.join(base, 'lower');
    await mkdir(path.join(lower, 'usr/bin'), { recursive: true });
    await chmod(path.join(lower, 'usr'), 0o700);
    await symlink('usr/bin', path.join(lower, 'bin'));
    await into('/bin', tarOf([{ name: 'tool', mode: 0o755 }, 'x']), lower);
    expect((await lstat(at('usr'))).mode & 0o7777).toBe(0o700);
    expect(await readFile(at('usr/bin/tool'), 'utf8')).toBe('x');
    await expect(lstat(at('bin'))).rejects.toThrow('ENOENT');
  });
});

describe('copy out', () => {
  it('gives files and folders by their name, and follows a link that is named', async () => {
    await mkdir(at('data/empty'));
    await writeFile(at('data/a'), 'a'.repeat(100_000), { mode: 0o640 });
    await symlink('/data/a', at('alias'));
    expect([...(await outOf('/data')).keys()]).toEqual(['data/a']);
    expect((await outOf('/data/')).get('data/a')).toMatchObject({ mode: 0o640, ...owner });
    expect(Buffer.from((await outOf('/alias')).get('alias')?.contents ?? []).toString()).toBe('a'.repeat(100_000));
  });

  it('is led out by no link', async () => {
    await symlink(path.join(base, 'outside'), at('away'));
    await expect(outOf('/away/secret')).rejects.toMatchObject({ code: 'not_found' });
    await expect(outOf('/nowhere')).rejects.toMatchObject({ code: 'not_found' });
    await expect(outOf('/../../outside/secret')).rejects.toMatchObject({ code: 'not_found' });
  });
});

async function* bytes(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}
