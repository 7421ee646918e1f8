import { EruError, invalid, isErrno, run } from '@eru/kit';
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, type Stats } from 'node:fs';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { createGunzip } from 'node:zlib';

import { unpack } from './copy.ts';
import { Rooted } from './rooted.ts';

/** Roots that were unpacked from archives, each once, named after the SHA-256 of its archive. */
export class Roots {
  readonly #folder: string;
  /** Archive as it was looked at -> its digest. */
  readonly #digests = new Map<string, string>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The folder of an archive's files, unpacked if it is not there yet. One call at a time. @throws EruError `invalid` for what is no tar, compressed with gzip or not */
  async take(archive: string): Promise<string> {
    const known = this.#digests.get(signatureOf(archive, await stat(archive)));
    if (known !== undefined && existsSync(this.#of(known))) return this.#of(known);
    const before = await stat(archive);
    const digest = await digestOf(archive);
    if (!existsSync(this.#of(digest))) await this.#unpack(archive, digest);
    this.#digests.set(signatureOf(archive, before), digest);
    return this.#of(digest);
  }

  /** Removes all but these folders, which somebody uses, and what a crash has left half-unpacked. One call at a time, and none of `take`. */
  async keep(used: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.#folder).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    });
    for (const name of names) {
      const place = path.join(this.#folder, name);
      if (!used.has(place)) await rm(place, { recursive: true, force: true });
    }
  }

  /** Beside its place, and renamed when everything of it is on the disk. */
  async #unpack(archive: string, digest: string): Promise<void> {
    const temporary = path.join(this.#folder, `.new-${digest}`);
    await rm(temporary, { recursive: true, force: true });
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await mkdir(temporary, { mode: 0o755 });
    try {
      const hash = createHash('sha256');
      const root = await Rooted.open(temporary);
      try {
        await unpack(root, '/', plainTar(archive, hash), 'leave out');
      } finally {
        await root.close();
      }
      if (hash.digest('hex') !== digest) throw new EruError('failed', `root: ${archive} was changed while it was read`);
      await run('sync', ['--file-system', temporary]);
      await rename(temporary, this.#of(digest));
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      const cause = EruError.from(error);
      throw new EruError(cause.code, `root: ${archive}: ${cause.message}`, { cause });
    }
  }

  #of(digest: string): string {
    return path.join(this.#folder, digest);
  }
}

/** Changes when the file does. */
function signatureOf(archive: string, { dev, ino, size, mtimeMs, ctimeMs }: Stats): string {
  return [archive, dev, ino, size, mtimeMs, ctimeMs].join(':');
}

async function digestOf(archive: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(archive)) hash.update(piece as Buffer);
  return hash.digest('hex');
}

/** The archive without its compression; `hash` sees the file as it is. */
async function* plainTar(archive: string, hash: Hash): AsyncGenerator<Uint8Array> {
  const [first, second] = await firstBytes(archive);
  const source = createReadStream(archive);
  source.on('data', (piece) => hash.update(piece));
  if (first !== 0x1f || second !== 0x8b) return yield* source as AsyncIterable<Uint8Array>;
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  try {
    yield* source.pipe(gunzip) as AsyncIterable<Uint8Array>;
  } catch (cause) {
    if (isErrno(cause, 'Z_DATA_ERROR') || isErrno(cause, 'Z_BUF_ERROR'))
      throw invalid('root', archive, 'its compression is damaged');
    throw cause;
  } finally {
    source.destroy();
  }
}

async function firstBytes(archive: string): Promise<Buffer> {
  for await (const piece of createReadStream(archive, { end: 1 })) return piece as Buffer;
  return Buffer.alloc(0);
}
