import { EruError } from '@eru/kit';

const block = 512;

/** A regular file of an archive. */
export interface TarFile {
  contents: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
}

/** The regular files of a ustar archive, by name. Other entries are skipped; a name may not leave the target folder. */
export function readTar(archive: Uint8Array): Map<string, TarFile> {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const files = new Map<string, TarFile>();
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.subarray(at, at + block);
    const name = [text(header, 345, 155), text(header, 0, 100)].filter((part) => part !== '').join('/');
    const size = octal(header, 124, 12);
    if (text(header, 257, 5) !== 'ustar' || !Number.isSafeInteger(size) || at + block + size > bytes.length)
      throw new EruError('invalid', 'the stream is no tar archive, or is cut short');
    if (name.startsWith('/') || name.split('/').includes('..'))
      throw new EruError('invalid', `tar entry ${name} leaves the target folder`);
    const type = text(header, 156, 1);
    if (type === '0' || type === '') {
      const contents = bytes.subarray(at + block, at + block + size);
      files.set(name, {
        contents,
        mode: octal(header, 100, 8),
        uid: octal(header, 108, 8),
        gid: octal(header, 116, 8),
      });
    }
    at += block + Math.ceil(size / block) * block;
  }
  return files;
}

/** An archive of regular files. Names of at most 100 bytes, or 255 where a slash lets them be split. @throws EruError `invalid` */
export function writeTar(files: Iterable<readonly [string, TarFile]>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [path, { contents, ...file }] of files)
    parts.push(tarHeader(path, { ...file, size: contents.length }), contents, padding(contents.length));
  return Buffer.concat([...parts, tarEnd]);
}

/**
 * An archive of one regular file whose contents come piece by piece.
 * @throws EruError `invalid` when they are not `size` bytes, or the name does not fit (see `writeTar`)
 */
export async function* streamTar(
  path: string,
  file: Omit<TarFile, 'contents'> & { size: number },
  contents: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const { size } = file;
  yield tarHeader(path, file);
  let got = 0;
  for await (const piece of contents) {
    got += piece.length;
    if (got > size) throw new EruError('invalid', `more came than the ${size} bytes that were announced`);
    yield piece;
  }
  if (got < size) throw new EruError('invalid', `short file: ${got} of ${size} bytes came`);
  yield Buffer.concat([padding(size), tarEnd]);
}

const tarEnd = Buffer.alloc(2 * block);

function padding(size: number): Uint8Array {
  return Buffer.alloc((block - (size % block)) % block);
}

function tarHeader(path: string, { mode, uid, gid, size }: Omit<TarFile, 'contents'> & { size: number }): Uint8Array {
  const header = Buffer.alloc(block);
  const [prefix, name] = splitName(path);
  header.write(name, 0);
  writeNumber(header, 100, 8, mode & 0o7777);
  writeNumber(header, 108, 8, uid);
  writeNumber(header, 116, 8, gid);
  writeNumber(header, 124, 12, size);
  header.write('00000000000\0' + ' '.repeat(8) + '0', 136);
  header.write('ustar\u000000', 257);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** In octal; what does not fit, a file of 8 GiB or an owner above two million, in the binary form that GNU and BSD tar read. */
function writeNumber(header: Buffer, at: number, width: number, value: number): void {
  if (value < 8 ** (width - 1)) {
    header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
    return;
  }
  header.writeUIntBE(value % 2 ** 48, at + width - 6, 6);
  header[at] = 0x80;
}

function splitName(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ['', path];
  for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
    const [prefix, name] = [path.slice(0, slash), path.slice(slash + 1)];
    if (Buffer.byteLength(prefix) <= 155 && Buffer.byteLength(name) <= 100) return [prefix, name];
  }
  throw new EruError(
    'invalid',
    `${path}: too long for a tar archive; the longest name is 100 bytes, and 255 with its folder`,
  );
}

function octal(header: Buffer, at: number, length: number): number {
  if ((header[at] ?? 0) >= 0x80) return header.readUIntBE(at + length - 6, 6);
  return Number.parseInt(text(header, at, length).trim() || '0', 8);
}

function text(header: Buffer, at: number, length: number): string {
  return header.toString('utf8', at, at + length).split('\0', 1)[0] ?? '';
}
