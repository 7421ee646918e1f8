import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import type { JsonObject } from '@eru/kit';
import { EruError, isErrno, isJsonObject } from '@eru/kit';

import { checkName } from './names.ts';
import { chooseVersion } from './version.ts';

/** A network as its configuration list says; unknown keys of plugins are kept as they are. */
export interface NetworkList {
  readonly name: string;
  /** The highest version that both sides speak. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The list as JSON text with all its plugins: what the cache keeps, so that DEL uses what ADD used. */
  readonly text: string;
}

export type PluginConfig = JsonObject & { type: string };

/** `folder` is where plugins that are not inlined lie, below the network's name. */
export async function parseNetworkList(text: string, where: string, folder?: string): Promise<NetworkList> {
  const list = parseObject(text, where);
  const name = nameOf(list, where);
  const inlinedOnly = flag(list, 'loadOnlyInlinedPlugins', where);
  const { plugins } = list;
  if (plugins !== undefined && !Array.isArray(plugins)) throw refused(where, 'plugins', 'write a list of objects');
  if (plugins === undefined && inlinedOnly)
    throw refused(where, 'plugins', 'give some, or leave loadOnlyInlinedPlugins away');
  const loose = inlinedOnly || folder === undefined ? [] : await loosePlugins(path.join(folder, name));
  const all = [...(plugins ?? []), ...loose].map((plugin, index) => checkPlugin(plugin, `${where}: plugins[${index}]`));
  if (all.length === 0) throw refused(where, 'plugins', 'give at least one');
  return finish({ ...list, plugins: all }, all, where);
}

/** A configuration of one plugin, of the time before lists, as a list of one. */
export function wrapPlugin(text: string, where: string): NetworkList {
  const plugin = checkPlugin(parseObject(text, where), where);
  const name = nameOf(plugin, where);
  const list: JsonObject = { name, plugins: [plugin] };
  if (plugin['cniVersion'] !== undefined) list['cniVersion'] = plugin['cniVersion'];
  return finish(list, [plugin], where);
}

/**
 * The network `name` of a folder, or the first by file name where no name is given: lists (`*.conflist`) before single
 * plugins (`*.conf`, `*.json`), in the order of their names. @throws EruError `not_found`
 */
export async function loadNetworkList(folder: string, name?: string): Promise<NetworkList> {
  const names: string[] = [];
  for (const file of await configFiles(folder)) {
    const where = path.join(folder, file);
    const text = await readFile(where, 'utf8');
    if (name === undefined) return parseFile(text, where, folder);
    // A broken file of another network must not keep this one away.
    const found = safeName(text);
    if (found === name) return parseFile(text, where, folder);
    if (found !== undefined) names.push(found);
  }
  throw new EruError(
    'not_found',
    `${folder} has no network${name === undefined ? '' : ` ${name}; there are: ${names.join(', ') || 'none'}`}`,
  );
}

function parseFile(text: string, where: string, folder: string): Promise<NetworkList> | NetworkList {
  return where.endsWith('.conflist') ? parseNetworkList(text, where, folder) : wrapPlugin(text, where);
}

async function configFiles(folder: string): Promise<string[]> {
  const files = await filesOf(folder);
  const lists = files.filter((file) => file.endsWith('.conflist'));
  return [...lists, ...files.filter((file) => /\.(conf|json)$/.test(file))];
}

async function loosePlugins(folder: string): Promise<JsonObject[]> {
  const files = (await filesOf(folder)).filter((file) => file.endsWith('.conf'));
  return Promise.all(
    files.map(async (file) => {
      const where = path.join(folder, file);
      return parseObject(await readFile(where, 'utf8'), where);
    }),
  );
}

/** In the order of their names. A folder that is not there holds nothing. */
async function filesOf(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory())
      .map(({ name }) => name)
      .toSorted();
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

function finish(list: JsonObject, plugins: PluginConfig[], where: string): NetworkList {
  const { cniVersion, cniVersions = [] } = list;
  if (!Array.isArray(cniVersions)) throw refused(where, 'cniVersions', 'write a list of versions');
  const offered = [cniVersion, ...cniVersions].filter((version) => typeof version === 'string');
  return {
    name: nameOf(list, where),
    cniVersion: chooseVersion(offered, where),
    disableCheck: flag(list, 'disableCheck', where),
    disableGC: flag(list, 'disableGC', where),
    plugins,
    text: JSON.stringify(list),
  };
}

function checkPlugin(plugin: unknown, where: string): PluginConfig {
  if (!isJsonObject(plugin)) throw new EruError('invalid', `${where} is not an object`);
  const { type } = plugin;
  // It is looked up in folders of ours, and run as root.
  if (typeof type !== 'string' || type === '' || type.includes('/') || type.startsWith('.'))
    throw refused(where, 'type', "write the plugin's file name");
  return { ...plugin, type };
}

function parseObject(text: string, where: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new EruError('invalid', `${where} is not JSON: ${EruError.from(cause).message}`, { cause });
  }
  if (!isJsonObject(value)) throw new EruError('invalid', `${where} is not an object`);
  return value;
}

function safeName(text: string): string | undefined {
  try {
    const { name } = parseObject(text, '');
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}

function nameOf({ name }: JsonObject, where: string): string {
  if (typeof name !== 'string') throw refused(where, 'name', 'give the network a name');
  checkName(`${where}: name`, name);
  return name;
}

/** People write booleans as strings too; the Go library accepts both. */
function flag(list: JsonObject, key: string, where: string): boolean {
  const value = list[key];
  if (value === undefined) return false;
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw refused(where, key, 'write true or false');
}

function refused(where: string, key: string, remedy: string): EruError {
  return new EruError('invalid', `${where}: ${key}: ${remedy}`);
}
