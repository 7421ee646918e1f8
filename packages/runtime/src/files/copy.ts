import { EruError, isErrno } from '@eru/kit';
import { constants, type Stats } from 'node:fs';
import {
  chmod,
  chown,
  lchown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rm,
  symlink,
  type FileHandle,
} from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { extract, pack, type Header, type Pack } from 'tar-stream';

import { at, type Rooted, type Spot } from './rooted.ts';

/** Unpacks a tar stream at a folder, which is made where it is missing. @throws EruError `invalid` for what is no archive or leaves the folder */
export async function unpack(
  root: Rooted,
  target: string,
  tar: AsyncIterable<Uint8Array>,
  devices: 'refuse' | 'leave out' = 'refuse',
): Promise<void> {
  const entries = extract();
  const failed: { error?: unknown } = {};
  // A stream that breaks off says why by itself.
  const source = async function* (): AsyncGenerator<Uint8Array> {
    try {
      yield* tar;
    } catch (error) {
      failed.error = error;
      throw error;
    }
  };
  void pipeline(Readable.from(source(), { objectMode: false }), entries).catch(() => {}); // Heard of below.
  try {
    for await (const entry of entries) {
      const device = ['character-device', 'block-device', 'fifo'].includes(entry.header.type ?? '');
      if (!device || devices === 'refuse') await put(root, target, entry.header, entry as AsyncIterable<Uint8Array>);
      entry.resume();
      await root.release();
    }
  } catch (cause) {
    const error = failed.error ?? cause;
    // Cut short, it is destroyed by its source's end.
    if (error instanceof Error && /tar header|end of data|was destroyed/i.test(error.message))
      throw new EruError('invalid', 'the stream is no tar archive, or is cut short', { cause });
    throw EruError.from(wordsOf(error, target));
  } finally {
    entries.destroy();
  }
}

async function put(root: Rooted, target: string, header: Header, contents: AsyncIterable<Uint8Array>): Promise<void> {
  const { type, mode, uid, gid } = header;
  const spot = await root.spot(inside(target, header.name), { follow: false, make: true });
  const place = at(spot.folder, spot.name);
  if (type === 'directory') {
    if (spot.stat?.isDirectory() !== true) {
      await clear(spot);
      await mkdir(place);
    }
    if (spot.name === '.') return;
    const folder = await root.folder(spot.folder, spot.name, header.name);
    await chown(at(folder, '.'), uid, gid);
    await chmod(at(folder, '.'), mode);
    return;
  }
  await clear(spot);
  if (type === 'symlink') {
    await symlink(header.linkname ?? '', place);
    await lchown(place, uid, gid);
  } else if (type === 'link') {
    const from = await root.spot(inside(target, header.linkname ?? ''), { follow: false, make: false });
    await link(at(from.folder, from.name), place);
  } else if (type === 'file' || type === 'contiguous-file') {
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
    const file = await open(place, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    try {
      for await (const piece of contents) await file.writeFile(piece);
      await file.chown(uid, gid);
      await file.chmod(mode);
    } finally {
      await file.close();
    }
  } else throw new EruError('invalid', `tar entry ${header.name}: a ${type} cannot be copied`);
}

/** A file in the way goes; a folder stays. */
async function clear({ folder, name, stat }: Spot): Promise<void> {
  if (stat?.isDirectory() === true) throw new EruError('invalid', `${name}: there is a folder of this name`);
  await rm(at(folder, name), { force: true });
}

function inside(target: string, name: string): string {
  if (name.startsWith('/') || name.split('/').includes('..'))
    throw new EruError('invalid', `tar entry ${name} leaves the target folder`);
  return `${target}/${name}`;
}

/** A tar stream of the file or folder at a path, named after its last part. @throws EruError `not_found` */
export async function* packed(root: Rooted, source: string): AsyncGenerator<Uint8Array> {
  const spot = await root.spot(source, { follow: true, make: false });
  if (spot.stat === undefined) throw new EruError('not_found', `${source}: there is no such file or folder`);
  const archive = pack();
  const name = path.posix.basename(path.posix.normalize(source)) || '.';
  const writing = add(archive, root, spot.folder, spot.name, name, spot.stat).then(
    () => archive.finalize(),
    (error: unknown) => archive.destroy(EruError.from(wordsOf(error, source))),
  );
  try {
    yield* archive as AsyncIterable<Uint8Array>;
  } finally {
    archive.destroy();
    await writing;
  }
}

type NamedHeader = Partial<Header> & Pick<Header, 'name'>;

/** Sockets, pipes and devices are left out. */
async function add(
  archive: Pack,
  root: Rooted,
  parent: FileHandle,
  name: string,
  shown: string,
  stat: Stats,
): Promise<void> {
  const header = { name: shown, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, mtime: stat.mtime };
  if (stat.isDirectory()) {
    if (shown !== '.') await entry(archive, { ...header, type: 'directory' });
    const folder = name === '.' ? parent : await root.folder(parent, name, shown);
    for (const below of (await readdir(at(folder, '.'))).toSorted()) {
      const found = await lstat(at(folder, below)).catch(() => undefined); // Gone meanwhile.
      if (found !== undefined) await add(archive, root, folder, below, path.posix.join(shown, below), found);
    }
  } else if (stat.isSymbolicLink())
    await entry(archive, { ...header, type: 'symlink', linkname: await readlink(at(parent, name)) });
  else if (stat.isFile()) await addFile(archive, at(parent, name), header);
}

async function addFile(archive: Pack, place: string, header: NamedHeader): Promise<void> {
  // Should it have become a pipe, opening must not wait for its other end.
  const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat();
    const sink = archive.entry({ ...header, size });
    // The size is promised: what grows meanwhile is cut there, what shrinks is filled up.
    const contents = async function* (): AsyncGenerator<Uint8Array> {
      for (let sent = 0; sent < size;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(65_536, size - sent)), 0, undefined, sent);
        const piece = bytesRead === 0 ? Buffer.alloc(Math.min(65_536, size - sent)) : buffer.subarray(0, bytesRead);
        sent += piece.length;
        yield piece;
      }
    };
    await pipeline(Readable.from(contents(), { objectMode: false }), sink);
  } finally {
    await file.close();
  }
}

function entry(archive: Pack, header: NamedHeader): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry(header, (error) => (error ? reject(error) : resolve()));
  });
}

/** The system's refusals in words, with the path that was asked for and not our way to it. */
function wordsOf(error: unknown, place: string): unknown {
  if (isErrno(error, 'EROFS'))
    return new EruError('precondition', `${place}: this part of its files is read-only`, { cause: error });
  if (isErrno(error, 'ENOSPC') || isErrno(error, 'EDQUOT'))
    return new EruError('failed', `${place}: the disk is full`, { cause: error });
  if (isErrno(error, 'ENOENT')) return new EruError('not_found', `${place}: it went meanwhile`, { cause: error });
  return error;
}
