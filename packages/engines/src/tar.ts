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
  for (const [path, { contents, mode, uid, gid }] of files) {
    const header = Buffer.alloc(block);
    const [prefix, name] = splitName(path);
    header.write(name, 0);
    for (const [at, width, value] of [
      [100, 8, mode & 0o7777],
      [108, 8, uid],
      [116, 8, gid],
      [124, 12, contents.length],
    ] as const)
      header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at);
    header.write('00000000000\0' + ' '.repeat(8) + '0', 136);
    header.write('ustar\u000000', 257);
    header.write(prefix, 345);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(header, contents, Buffer.alloc((block - (contents.length % block)) % block));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
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
  return Number.parseInt(text(header, at, length).trim() || '0', 8);
}

function text(header: Buffer, at: number, length: number): string {
  return header.toString('utf8', at, at + length).split('\0', 1)[0] ?? '';
}
