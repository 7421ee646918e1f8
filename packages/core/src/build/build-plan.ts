import type { pb } from '@eru/contract';
import { EruError } from '@eru/kit';

/** The stages of one image, in the order in which they are built. */
export type BuildPlan = readonly Stage[];

export interface Stage {
  name: string;
  base: string;
  /** Absent: the stage has no source. */
  source?: Source;
  /** Working folder in the image; empty = the base's. */
  dir: string;
  commands: readonly string[];
  args: Readonly<Record<string, string>>;
  envs: Readonly<Record<string, string>>;
  labels: Readonly<Record<string, string>>;
  /** Path in this stage -> path in the next one. */
  cache: Readonly<Record<string, string>>;
  stopSignal: string;
}

export interface Source {
  /** Its folder in the build context: no two stages share one. */
  folder: string;
  /** Absent: artifacts only. */
  git?: GitSource;
  /** URLs of zip files. Where there are some they stand in place of what git would give, as the original has it. */
  artifacts: readonly string[];
}

export interface GitSource {
  url: string;
  /** A branch, tag or commit. */
  version: string;
  submodules: boolean;
  /** Leaves no history of it in the image. */
  withoutHistory: boolean;
}

/**
 * The stages that a request names (reference/core-behaviour.md section 5.4); `unknown` are names without a build, which the original
 * skips. @throws EruError `invalid` with the original's texts where it has some
 */
export function buildPlan(builds: pb.Builds | undefined): { plan: BuildPlan; unknown: string[] } {
  if (builds === undefined || builds.stages.length === 0) throw new EruError('invalid', 'no builds in spec');
  // A stage may be called like something that every object has.
  const given = new Map(Object.entries(builds.builds));
  const unknown = builds.stages.filter((name) => !given.has(name));
  const plan = builds.stages.flatMap((name) => {
    const build = given.get(name);
    return build === undefined ? [] : [stageOf(name, build)];
  });
  if (plan.length === 0) throw new EruError('invalid', 'no build spec');
  const twice = plan.find(({ name }, index) => plan.findIndex((other) => other.name === name) !== index);
  if (twice !== undefined) throw new EruError('invalid', `stages: ${twice.name} is there twice; name each stage once`);
  return { plan, unknown };
}

function stageOf(name: string, build: pb.Build): Stage {
  const at = `builds.${name}`;
  if (!/^[a-z][a-z0-9._-]*$/i.test(name))
    throw new EruError(
      'invalid',
      `stages: ${JSON.stringify(name)}: a stage's name has letters, digits, ".", "_" and "-"`,
    );
  if (!/^\S+$/.test(build.base))
    throw new EruError(
      'invalid',
      `${at}.base: ${JSON.stringify(build.base)}: name the image that the stage begins with`,
    );
  const { repo, version, submodule, security } = build;
  const artifacts = Object.values(build.artifacts);
  const git =
    repo === ''
      ? undefined
      : { url: repo, version: versionOf(at, version), submodules: submodule, withoutHistory: security };
  const folder = `${name}/${git === undefined ? 'artifacts' : repositoryName(git.url)}`;
  for (const [key, value] of Object.entries({ dir: build.dir, stop_signal: build.stopSignal }))
    oneLine(`${at}.${key}`, value);
  for (const [key, pairs] of Object.entries({
    args: build.args,
    envs: build.envs,
    labels: build.labels,
    cache: build.cache,
  }))
    for (const [one, value] of Object.entries(pairs)) {
      oneLine(`${at}.${key}`, one);
      oneLine(`${at}.${key}.${one}`, value);
    }
  return {
    name,
    base: build.base,
    ...((git !== undefined || artifacts.length > 0) && {
      source: { folder, artifacts, ...(git !== undefined && { git }) },
    }),
    dir: build.dir,
    commands: build.commands,
    args: build.args,
    envs: build.envs,
    labels: build.labels,
    cache: build.cache,
    stopSignal: build.stopSignal,
  };
}

/** The last part of the address without `.git`. What git could take for an option or for a program to run is no address. */
function repositoryName(url: string): string {
  const known = /^(https:\/\/|(ssh:\/\/)?(git|gitlab)@)[^\s\\]+\.git$/.test(url);
  const name = known ? /([^/:]+)\.git$/.exec(url)?.[1] : undefined;
  if (name === undefined || name.startsWith('.')) throw new EruError('invalid', `${url}: invalid git url format`);
  return name;
}

function versionOf(at: string, version: string): string {
  if (/^-|\s/.test(version))
    throw new EruError('invalid', `${at}.version: ${JSON.stringify(version)}: name a branch, a tag or a commit`);
  return version === '' ? 'HEAD' : version;
}

/** A line of a Dockerfile ends where the value does. */
function oneLine(field: string, value: string): void {
  if (/[\r\n\0]/.test(value)) throw new EruError('invalid', `${field}: ${JSON.stringify(value)}: must be one line`);
}
