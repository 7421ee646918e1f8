import { chmod, chown, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { Json, JsonObject } from '@eru/kit';
import { EruError, isJsonObject } from '@eru/kit';

/** An OCI bundle's configuration. Whatever we do not know of it stays as it is. */
export interface Bundle {
  readonly folder: string;
  readonly config: JsonObject;
}

export async function readBundle(folder: string): Promise<Bundle> {
  const file = path.join(folder, 'config.json');
  try {
    const config: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (!isJsonObject(config)) throw new EruError('invalid', 'it is not an object');
    return { folder, config };
  } catch (cause) {
    throw new EruError('invalid', `${file}: ${EruError.from(cause).message}`, { cause });
  }
}

/** The whole file or none of it, with the mode that it had: a runtime may read it at any time. */
export async function writeBundle({ folder, config }: Bundle): Promise<void> {
  const file = path.join(folder, 'config.json');
  const { mode, uid, gid } = await stat(file);
  const temporary = `${file}.eru`;
  try {
    await writeFile(temporary, JSON.stringify(config), { mode: mode & 0o7777 });
    await chown(temporary, uid, gid);
    await chmod(temporary, mode & 0o7777);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** What a container is told in `annotations`. */
export function annotationsOf({ config }: Bundle): Record<string, string> {
  return textsOf(config['annotations']);
}

/** Names and texts of an object; what is no text has no meaning there. */
export function textsOf(value: Json | undefined): Record<string, string> {
  if (!isJsonObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}

/** The environment of its process; of a name that is given twice the last counts. */
export function environmentOf({ config }: Bundle): Record<string, string> {
  const { process } = config;
  const env = isJsonObject(process) && Array.isArray(process['env']) ? process['env'].map(String) : [];
  return Object.fromEntries(
    env.map((pair): [string, string] => {
      const at = pair.indexOf('=');
      return at === -1 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Where a file of the host is mounted into it; undefined if none is. */
export function mountedAt({ config }: Bundle, destination: string): string | undefined {
  const mounts = Array.isArray(config['mounts']) ? config['mounts'] : [];
  const found = mounts.filter(isJsonObject).findLast((mount) => mount['destination'] === destination);
  return typeof found?.['source'] === 'string' ? found['source'] : undefined;
}

/** Whether it gets a network namespace that is neither the host's nor somebody else's. */
export function hasOwnNetwork(bundle: Bundle): boolean {
  return namespacesOf(bundle).some(({ type, path: joined }) => type === 'network' && isEmpty(joined));
}

/**
 * Whether it has users of its own. Its network must belong to them, or it could not mount /sys: so the runtime makes that
 * namespace, and we come in by hooks.
 */
export function hasOwnUsers(bundle: Bundle): boolean {
  return namespacesOf(bundle).some(({ type, path: joined }) => type === 'user' && isEmpty(joined));
}

/** It joins the network namespace of this path. */
export function withNetwork({ folder, config }: Bundle, netns: string): Bundle {
  const namespaces = namespacesOf({ folder, config }).map((one) =>
    one['type'] === 'network' ? { ...one, path: netns } : one,
  );
  return { folder, config: { ...config, linux: { ...(config['linux'] as JsonObject), namespaces } } };
}

/** When a hook is called: its namespaces are there, and after it is deleted. */
type HookMoment = 'createRuntime' | 'poststop';

/** `script eru-hook VERB ID` is called at a moment, after the hooks that are there. */
export function withHook(
  { folder, config }: Bundle,
  moment: HookMoment,
  script: string,
  [verb, id]: readonly [verb: string, id: string],
): Bundle {
  const hooks = isJsonObject(config['hooks']) ? config['hooks'] : {};
  const there = Array.isArray(hooks[moment]) ? hooks[moment] : [];
  if (there.some((one) => isJsonObject(one) && one['path'] === script)) return { folder, config };
  const hook = { path: script, args: [script, 'eru-hook', verb, id] };
  return { folder, config: { ...config, hooks: { ...hooks, [moment]: [...there, hook] } } };
}

function namespacesOf({ config }: Bundle): JsonObject[] {
  const { linux } = config;
  const namespaces = isJsonObject(linux) ? linux['namespaces'] : undefined;
  return Array.isArray(namespaces) ? namespaces.filter(isJsonObject) : [];
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === '';
}
