import { rm } from 'node:fs/promises';
import { registriesFor, type Engine, type Registries } from '@eru/engines';
import { EruError, isEruError, type JsonObject, type Logger } from '@eru/kit';

import { archiveOf } from './archive.ts';
import { basesOf, dockerfileIn } from './bases.ts';
import { prepareContext } from './build-context.ts';
import { makeBuildFolder } from './build-folder.ts';
import type { BuildPlan } from './build-plan.ts';
import type { BuildSettings } from './build-settings.ts';
import { dockerfile, type ImageUser } from './dockerfile.ts';
import { whileAway } from './while-away.ts';

/** What an image is made of. */
export type ImageSource =
  | { from: 'plan'; plan: BuildPlan; user?: ImageUser | undefined }
  | { from: 'tar'; archive: Uint8Array }
  | { from: 'workload'; id: string };

export interface ImageRequest {
  source: ImageSource;
  /** All in one registry. */
  references: readonly string[];
  /** `linux/amd64`; empty = the engine's own. */
  platform: string;
}

export interface BuildPlace {
  engine: Engine;
  settings: BuildSettings;
  registries: Registries;
  logger: Logger;
  signal: AbortSignal;
}

/**
 * Builds on one engine and pushes each name (reference/core-behaviour.md section 3.13): the engine's own objects as they come, after each
 * name that is pushed `{status: 'finished', …}`. After a build that failed nothing is pushed; a push that fails does not stop the next.
 * An engine that is away is asked again for half a minute. Without a hub to push to, the image stays where it was built.
 * @throws EruError before the engine has begun
 */
export async function* buildImage(request: ImageRequest, place: BuildPlace): AsyncGenerator<JsonObject> {
  const { settings, engine, registries, signal, logger } = place;
  let last: JsonObject = {};
  for await (const object of built(request, place)) yield (last = object);
  if (failed(last)) return;
  const stays = settings.home.hub === '';
  for (const reference of request.references) {
    if (!stays && !(yield* pushed(engine, reference, registriesFor(reference, registries), signal))) continue;
    yield { stream: `finished ${reference}\n`, status: 'finished', progress: reference };
  }
  if (!stays)
    void cleanUp(engine, request.references).catch((error: unknown) =>
      logger.warn({ err: error }, 'cannot remove what a build left'),
    );
}

async function* built({ source, references, platform }: ImageRequest, place: BuildPlace): AsyncGenerator<JsonObject> {
  const { engine, settings, registries, signal } = place;
  if (source.from === 'workload') {
    yield { id: await engine.imageCommit(source.id, references, { signal }) };
    return;
  }
  const options = { signal, registries };
  const build = { references, platform };
  const make = (text: string, archive: () => AsyncIterable<Uint8Array>): AsyncGenerator<JsonObject> =>
    whileAway(async function* () {
      yield* fetchBases(text, place);
      yield* engine.imageBuild(build, archive(), options);
    }, signal);
  if (source.from === 'tar') {
    yield* make(dockerfileIn(source.archive), () => pieces(source.archive));
    return;
  }
  const folder = await makeBuildFolder();
  try {
    await prepareContext(folder, source, settings, signal);
    yield* make(dockerfile(source.plan, source.user), () => archiveOf(folder, signal));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** As fresh as the registries have them. One that cannot be fetched may be the node's own; if not, the build says so. */
async function* fetchBases(text: string, { engine, registries, signal }: BuildPlace): AsyncGenerator<JsonObject> {
  for (const base of basesOf(text)) {
    try {
      yield* engine.imagePull(base, { signal, registries: registriesFor(base, registries) });
    } catch (error) {
      if (signal.aborted || isEruError(error, 'unsupported')) throw error;
      yield { status: `${base} is not fetched: ${EruError.from(error).message}` };
    }
  }
}

/** Answers whether the registry has it now. */
async function* pushed(
  engine: Engine,
  reference: string,
  registries: Registries,
  signal: AbortSignal,
): AsyncGenerator<JsonObject, boolean> {
  let last: JsonObject = {};
  try {
    const push = (): AsyncIterable<JsonObject> => engine.imagePush(reference, { signal, registries });
    for await (const object of whileAway(push, signal)) yield (last = object);
  } catch (error) {
    if (signal.aborted) throw error;
    yield { error: EruError.from(error).message };
    return false;
  }
  return !failed(last);
}

function failed({ error }: JsonObject): boolean {
  return typeof error === 'string' && error !== '';
}

async function cleanUp(engine: Engine, references: readonly string[]): Promise<void> {
  for (const reference of references) await engine.imageRemove(reference, { prune: true });
  await engine.imageBuildPrune();
}

const pieceBytes = 64 * 1024;

async function* pieces(archive: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < archive.length; at += pieceBytes) yield archive.subarray(at, at + pieceBytes);
}
