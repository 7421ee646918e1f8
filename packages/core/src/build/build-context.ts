import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { unpackArtifact } from './artifacts.ts';
import type { BuildPlan, Source } from './build-plan.ts';
import type { BuildSettings } from './build-settings.ts';
import { dockerfile, type ImageUser } from './dockerfile.ts';
import { cloneInto } from './git.ts';

/** Fills `folder` with what the plan needs: a Dockerfile and the sources of its stages. */
export async function prepareContext(
  folder: string,
  { plan, user }: { plan: BuildPlan; user?: ImageUser | undefined },
  settings: BuildSettings,
  signal: AbortSignal,
): Promise<void> {
  for (const { source } of plan)
    if (source !== undefined) await fetchSource(path.join(folder, source.folder), source, settings, signal);
  await writeFile(path.join(folder, 'Dockerfile'), dockerfile(plan, user));
}

/** Artifacts take the place of a clone (reference/core-behaviour.md section 5.4, step 2), which is then not made at all. */
async function fetchSource(
  folder: string,
  source: Source,
  settings: BuildSettings,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { git, artifacts } = source;
  const { cloneTimeoutMs: timeoutMs, privateKey } = settings;
  if (git !== undefined && artifacts.length === 0) await cloneInto(folder, git, { timeoutMs, privateKey, signal });
  for (const url of artifacts) await unpackArtifact(folder, url, { headers: tokenHeader(settings), signal });
}

function tokenHeader({ scm, token = '' }: BuildSettings): Record<string, string> {
  if (token === '') return {};
  return scm === 'github' ? { Authorization: `token ${token}` } : scm === 'gitlab' ? { 'PRIVATE-TOKEN': token } : {};
}
