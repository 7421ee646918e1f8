import { EruError } from '@eru/kit';

const block = 512;

/** The regular files of a ustar archive, by name. Other entries are skipped; a name may not leave the target folder. */
export function readTar(archive: Uint8Array): Map<string, Uint8Array> {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  const files = new Map<string, Uint8Array>();
  for (let at = 0; at + block <= bytes.length && bytes[at] !== 0;) {
    const header = bytes.subarray(at, at + block);
    const name = [text(header, 345, 155), text(header, 0, 100)].filter((part) => part !== '').join('/');
    const size = Number.parseInt(text(header, 124, 12).trim() || '0', 8);
    if (text(header, 257, 5) !== 'ustar' || !Number.isSafeInteger(size) || at + block + size > bytes.length)
      throw new EruError('invalid', 'the stream is no tar archive, or is cut short');
    if (name.startsWith('/') || name.split('/').includes('..'))
      throw new EruError('invalid', `tar entry ${name} leaves the target folder`);
    const type = text(header, 156, 1);
    if (type === '0' || type === '') files.set(name, bytes.subarray(at + block, at + block + size));
    at += block + Math.ceil(size / block) * block;
  }
  return files;
}

/** An archive of regular files, mode 644, owned by root. Names of at most 100 bytes. */
export function writeTar(files: Iterable<readonly [string, Uint8Array]>): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, contents] of files) {
    const header = Buffer.alloc(block);
    if (Buffer.byteLength(name) > 100) throw new EruError('unsupported', `tar: ${name} is longer than 100 bytes`);
    header.write(name, 0);
    header.write('0000644\u00000000000\u00000000000\u0000', 100);
    header.write(`${contents.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('00000000000\0' + ' '.repeat(8) + '0', 136);
    header.write('ustar\u000000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    parts.push(header, contents, Buffer.alloc((block - (contents.length % block)) % block));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * block)]);
}

function text(header: Buffer, at: number, length: number): string {
  return header.toString('utf8', at, at + length).split('\0', 1)[0] ?? '';
}
