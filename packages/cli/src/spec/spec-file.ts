import { EruError, isErrno } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text as readAll } from 'node:stream/consumers';

import type { Shell } from '../context.ts';
import type { DeployFlags, DeployRequest } from './deploy-request.ts';
import { deployRequest } from './deploy-request.ts';
import { chooseEntrypoint, parseSpec } from './spec.ts';
import * as values from './values.ts';

/** The flags of `deploy` and `plan` as commander gives them. */
export interface SpecFlags {
  pod?: string;
  entry?: string;
  image?: string;
  count?: string;
  cpu?: string;
  cpuRequest?: string;
  cpuLimit?: string;
  cpuBind?: boolean;
  numa?: string;
  memory?: string;
  memoryRequest?: string;
  memoryLimit?: string;
  storage?: string;
  storageRequest?: string;
  storageLimit?: string;
  gpu?: string[];
  extraResources?: string;
  node?: string[];
  nodelabel?: string[];
  deployStrategy?: string;
  nodesLimit?: string;
  network?: string[];
  env?: string[];
  label?: string[];
  user?: string;
  file?: string[];
  afterCreate?: string[];
  ignoreHook?: boolean;
  debug?: boolean;
  rawArgs?: string;
}

/** Reads a spec (a path, a URL, `-` for standard input) and makes of it what is sent. Nothing is called before all of it is checked. */
export async function readSpec(
  shell: Pick<Shell, 'stdin' | 'signal'>,
  source: string,
  flags: SpecFlags,
): Promise<DeployRequest> {
  // A wrong option is told before a file is looked for.
  checkFlags(flags);
  return specRequest({ ...(await load(shell, source)), source }, flags);
}

/** The same of a spec that is read already. */
export async function specRequest(
  { text, folder, source }: { text: string; folder: string; source: string },
  flags: SpecFlags,
): Promise<DeployRequest> {
  const checked = checkFlags(flags);
  const entry = flags.entry === undefined ? undefined : values.flagged('--entry', values.entrypointName, flags.entry);
  const spec = parseSpec(text, source === '-' ? 'standard input' : source);
  return deployRequest(spec, chooseEntrypoint(spec, entry), checked, {
    specFolder: folder,
    nodeProgram: process.execPath,
    readFile: readToSend,
  });
}

/** Option, key of the spec, what it may be. */
const checks: readonly [keyof SpecFlags, string, values.Parse<unknown>][] = [
  ['pod', 'pod', values.placeName],
  ['image', 'image', values.text],
  ['count', 'count', values.instanceCount],
  ['cpu', 'cpu', values.cores],
  ['cpuRequest', 'cpu_request', values.cores],
  ['cpuLimit', 'cpu_limit', values.cores],
  ['cpuBind', 'cpu_bind', values.flag],
  ['numa', 'numa', values.numaPolicy],
  ['memory', 'memory', values.size],
  ['memoryRequest', 'memory_request', values.size],
  ['memoryLimit', 'memory_limit', values.size],
  ['storage', 'storage', values.size],
  ['storageRequest', 'storage_request', values.size],
  ['storageLimit', 'storage_limit', values.size],
  ['gpu', 'gpu', values.gpus],
  ['extraResources', 'extra_resources', values.resourceRequests],
  ['node', 'node', values.placeNames],
  ['nodelabel', 'nodelabel', values.labels],
  ['deployStrategy', 'deploy_strategy', values.strategy],
  ['nodesLimit', 'nodes_limit', values.nodesLimit],
  ['network', 'network', values.network],
  ['env', 'env', values.environment],
  ['label', 'labels', values.labels],
  ['user', 'user', values.text],
  ['file', 'file', values.files],
  ['afterCreate', 'after_create', values.texts],
  ['ignoreHook', 'ignore_hook', values.flag],
  ['debug', 'debug', values.flag],
  ['rawArgs', 'raw_args', values.jsonObject],
];

/** The options of a spec that were given. */
export function givenFlags(flags: SpecFlags): (keyof SpecFlags)[] {
  const options: (keyof SpecFlags)[] = ['entry', ...checks.map(([option]) => option)];
  return options.filter((option) => flags[option] !== undefined);
}

export function written(option: string): string {
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** A deploy of a command that is typed, not written in a spec. */
export function requestOfCommand(
  { name, commands, dir }: { name: string; commands: string[]; dir: string },
  flags: SpecFlags,
): Promise<DeployRequest> {
  const entrypoint = { commands, dir };
  return deployRequest(
    { appname: 'lambda', entrypoints: { [name]: entrypoint } },
    { name, entrypoint },
    checkFlags(flags),
    {
      specFolder: process.cwd(),
      nodeProgram: process.execPath,
      readFile: readToSend,
    },
  );
}

function checkFlags(flags: SpecFlags): DeployFlags {
  const given = checks.flatMap(([option, key, parse]) => {
    const value = flags[option];
    if (value === undefined) return [];
    return [[key, values.flagged(written(option), parse, value)] as const];
  });
  // `--cpu` sets both, whatever the file says of either; the same for memory and storage.
  const cleared = ['cpu', 'memory', 'storage'].flatMap((kind) =>
    given.some(([key]) => key === kind)
      ? [[`${kind}_request`, undefined] as const, [`${kind}_limit`, undefined] as const]
      : [],
  );
  return Object.fromEntries([...cleared, ...given]);
}

/** `-` is standard input; the folder is that of the file. */
export async function load(
  { stdin, signal }: Pick<Shell, 'stdin' | 'signal'>,
  source: string,
): Promise<{ text: string; folder: string }> {
  if (source === '-') return { text: await readAll(stdin), folder: process.cwd() };
  if (/^https?:\/\//.test(source)) return { text: await download(source, signal), folder: process.cwd() };
  const file = path.resolve(source);
  return { text: await readNamed(file, source, 'utf8'), folder: path.dirname(file) };
}

async function download(url: string, signal: AbortSignal): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(downloadMs)]) });
    if (response.ok) return await response.text();
    throw new EruError('invalid', `${url}: the server answered ${response.status} ${response.statusText}`);
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof EruError) throw cause;
    throw new EruError('unavailable', `${url}: ${(cause as Error).message}`, { cause });
  }
}

const downloadMs = 30_000;

async function readToSend(source: string): Promise<Uint8Array> {
  return readNamed(source, `--file: ${source}`);
}

export async function readNamed(file: string, shown: string, encoding: 'utf8'): Promise<string>;
export async function readNamed(file: string, shown: string): Promise<Uint8Array>;
export async function readNamed(file: string, shown: string, encoding?: 'utf8'): Promise<string | Uint8Array> {
  try {
    return await readFile(file, encoding);
  } catch (cause) {
    const why = isErrno(cause, 'ENOENT')
      ? 'there is no such file'
      : isErrno(cause, 'EISDIR')
        ? 'it is a folder'
        : (cause as Error).message;
    throw new EruError('invalid', `${shown}: ${why}`, { cause });
  }
}
