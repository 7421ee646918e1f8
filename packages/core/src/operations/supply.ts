import { EruError } from '@eru/kit';
import { registriesFor, writeTar, type Engine, type Registries } from '@eru/engines';

import type { FileContent } from './spec-of.ts';

/** Fetches an image to a node; the engine asks the registry whether its own is current. @throws EruError with the engine's word */
export async function pullImage(engine: Engine, image: string, known: Registries, signal: AbortSignal): Promise<void> {
  const registries = registriesFor(image, known);
  for await (const { error } of engine.imagePull(image, { signal, registries })) {
    if (typeof error === 'string' && error !== '') throw new EruError('failed', error);
  }
}

/** Puts files into a workload that is created and not started. */
export async function putFiles(
  engine: Engine,
  id: string,
  files: ReadonlyMap<string, FileContent>,
  signal: AbortSignal,
): Promise<void> {
  if (files.size === 0) return;
  const archive = writeTar([...files].map(([path, file]) => [path.replace(/^\/+/, ''), file] as const));
  await engine.copyTo(id, '/', pieces(archive), { signal });
}

const pieceBytes = 64 * 1024;

async function* pieces(archive: Uint8Array): AsyncIterable<Uint8Array> {
  for (let at = 0; at < archive.length; at += pieceBytes) yield archive.subarray(at, at + pieceBytes);
}
