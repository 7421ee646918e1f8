import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { EruError } from '@eru/kit';
import { openPromise, type Entry } from 'yauzl';

/**
 * Unpacks a zip that came from `url` into `folder`.
 * @throws EruError `invalid` for what is no zip, leaves the folder, or unpacks to more than `mostBytes`
 */
export async function unzip(zip: string, folder: string, url: string, mostBytes: number): Promise<void> {
  const invalid = (what: string, cause?: unknown): EruError => new EruError('invalid', `${url}: ${what}`, { cause });
  let left = mostBytes;
  try {
    const file = await openPromise(zip);
    // Names that leave the folder are refused by the library.
    for await (const entry of file.eachEntry()) {
      left -= entry.uncompressedSize;
      if (left < 0) throw invalid(`unpacks to more than ${mostBytes / 2 ** 30} GiB`);
      const target = path.join(folder, entry.fileName);
      if (entry.fileName.endsWith('/')) {
        await mkdir(target, { recursive: true });
        continue;
      }
      const mode = modeOf(entry);
      if ((mode & 0o170000) === 0o120000)
        throw invalid(`${entry.fileName} is a symbolic link; artifacts have files and folders`);
      await mkdir(path.dirname(target), { recursive: true });
      await pipeline(
        await file.openReadStreamPromise(entry),
        createWriteStream(target, { mode: mode & 0o777 || 0o644 }),
      );
    }
  } catch (cause) {
    throw cause instanceof EruError
      ? cause
      : invalid(`is no zip file that can be unpacked: ${EruError.from(cause).message}`, cause);
  }
}

/** What Unix wrote; 0 where the file was made elsewhere. */
function modeOf({ externalFileAttributes }: Entry): number {
  return externalFileAttributes >>> 16;
}
