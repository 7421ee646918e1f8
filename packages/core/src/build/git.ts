import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { EruError, isEruError, runOk, type RunOptions } from '@eru/kit';

import type { GitSource } from './build-plan.ts';

export interface GitOptions {
  /** A file; absent = what ssh finds by itself. */
  privateKey?: string | undefined;
  /** For all of it together. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** Clones into `folder` and checks the version out. Runs no hook, asks nobody for a password. @throws EruError `failed` with git's word, `timeout` */
export async function cloneInto(folder: string, source: GitSource, options: GitOptions): Promise<void> {
  const { timeoutMs, signal } = options;
  const run: RunOptions = {
    timeoutMs,
    env: environment(options),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  };
  const git = (...args: string[]) => runOk('git', ['-C', folder, ...args], run);
  await runOk('git', ['clone', '--quiet', '--no-checkout', '--', source.url, folder], run);
  await git('checkout', '--quiet', '--detach', await commitOf(source, git));
  if (source.submodules) await git('submodule', '--quiet', 'update', '--init', '--recursive');
  if (source.withoutHistory) await removeHistory(folder);
}

/** A branch is known as the remote's; tags and commits are known by themselves. */
async function commitOf(
  { url, version }: GitSource,
  git: (...args: string[]) => Promise<{ stdout: string }>,
): Promise<string> {
  const resolve = async (name: string): Promise<string> =>
    (await git('rev-parse', '--verify', '--quiet', '--end-of-options', `${name}^{commit}`)).stdout.trim();
  try {
    return await resolve(`refs/remotes/origin/${version}`).catch(() => resolve(version));
  } catch (cause) {
    if (!isEruError(cause, 'failed')) throw cause;
    throw new EruError('failed', `version: ${JSON.stringify(version)}: ${url} has no such branch, tag or commit`, {
      cause,
    });
  }
}

function environment({ privateKey }: GitOptions): NodeJS.ProcessEnv {
  const ssh = ['ssh', '-o BatchMode=yes', '-o StrictHostKeyChecking=accept-new'];
  if (privateKey !== undefined)
    ssh.push('-o IdentitiesOnly=yes', `-i '${privateKey.replaceAll("'", String.raw`'\''`)}'`);
  return { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_SSH_COMMAND: ssh.join(' ') };
}

/** Submodules have a file of that name. */
async function removeHistory(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const inside = path.join(folder, entry.name);
    if (entry.name === '.git') await rm(inside, { recursive: true });
    else if (entry.isDirectory()) await removeHistory(inside);
  }
}
