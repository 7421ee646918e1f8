import { EruError, type JsonObject } from '@eru/kit';
import { registriesFor, writeTar, type Engine, type Registries } from '@eru/engines';

import type { FileContent } from './spec-of.ts';

/**
 * Fetches an image to a node; the engine asks the registry whether its own is current. `tell` hears how far it is, in words.
 * @throws EruError with the engine's word
 */
export async function pullImage(
  engine: Engine,
  image: string,
  known: Registries,
  signal: AbortSignal,
  tell: (progress: string) => void = () => {},
): Promise<void> {
  const registries = registriesFor(image, known);
  const progress = fetchProgress(image);
  for await (const line of engine.imagePull(image, { signal, registries })) {
    const { error } = line;
    if (typeof error === 'string' && error !== '') throw new EruError('failed', error);
    tell(progress(line));
  }
}

/** Docker's words for a layer that is on the node. */
const layerDone = new Set(['Pull complete', 'Already exists']);
/** Its words for one that is on its way. */
const layerComing = /^(Pulling fs layer|Waiting|Downloading|Verifying Checksum|Download complete|Extracting)$/;

/** Line after line of a pull, how far the fetch is: `fetching web:1`, with layers `fetching web:1 (2 of 5 layers)`. */
export function fetchProgress(image: string): (line: JsonObject) => string {
  /** Layer -> whether it is there. */
  const layers = new Map<string, boolean>();
  return ({ id, status }) => {
    if (typeof id === 'string' && typeof status === 'string') {
      if (layerDone.has(status)) layers.set(id, true);
      else if (layerComing.test(status)) layers.set(id, false);
    }
    const done = [...layers.values()].filter(Boolean).length;
    return layers.size === 0 ? `fetching ${image}` : `fetching ${image} (${done} of ${layers.size} layers)`;
  };
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
