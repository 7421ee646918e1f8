import { createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { EruError } from '@eru/kit';

/** Of the zip, and of what is in it: a small file may unpack to very much. */
const mostBytes = 4 * 2 ** 30;

export interface ArtifactOptions {
  headers: Readonly<Record<string, string>>;
  signal: AbortSignal;
}

/** Downloads a zip and unpacks it into `folder`. @throws EruError `failed`, `invalid` for what is no zip or leaves the folder */
export async function unpackArtifact(folder: string, url: string, options: ArtifactOptions): Promise<void> {
  const zip = path.join(folder, '.artifact.zip');
  await mkdir(folder, { recursive: true });
  try {
    await download(url, zip, options);
    // Loaded with the first artifact.
    const { unzip } = await import('./unzip.ts');
    await unzip(zip, folder, url, mostBytes);
  } finally {
    await rm(zip, { force: true });
  }
}

async function download(url: string, target: string, { headers, signal }: ArtifactOptions): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, { headers: isPrivate(url) ? headers : {}, signal });
  } catch (cause) {
    throw new EruError('failed', `${url}: cannot be downloaded: ${reasonOf(cause)}`, { cause });
  }
  if (response.status !== 200 || response.body === null)
    throw new EruError('failed', `download artifacts failed: ${url} answered ${response.status}`);
  await pipeline(Readable.fromWeb(response.body), bounded(url), createWriteStream(target), { signal });
}

function reasonOf(cause: unknown): string {
  const inner = cause instanceof Error ? cause.cause : undefined;
  return EruError.from(inner ?? cause).message;
}

/** A token is not sent where others can read it. */
function isPrivate(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || hostname === 'localhost' || hostname === '127.0.0.1';
}

async function* limited(pieces: AsyncIterable<Uint8Array>, url: string): AsyncGenerator<Uint8Array> {
  let got = 0;
  for await (const piece of pieces) {
    got += piece.length;
    if (got > mostBytes) throw new EruError('invalid', `${url}: more than ${mostBytes / 2 ** 30} GiB`);
    yield piece;
  }
}

function bounded(url: string): (pieces: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array> {
  return (pieces) => limited(pieces, url);
}
