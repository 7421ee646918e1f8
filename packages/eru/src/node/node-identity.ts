import { EruError, parseJsonObject, readIfExists, writeFileAtomic } from '@eru/kit';
import { rm } from 'node:fs/promises';

import type { DataFolder } from '../data-folder.ts';

/** What a machine is to the cluster that it has joined: all that its daemon and its agent need to start again. */
export interface NodeIdentity {
  node: string;
  /** Cores, as the user has named them. */
  cores: string;
  /** Where the daemon listens; empty = only an agent has joined. */
  listen: string;
  /** PEM texts. The key was made here and has never left. */
  authority: string;
  cert: string;
  key: string;
  /** SHA-256 of the token that it joined with, hex. */
  token: string;
}

const fields = ['node', 'cores', 'listen', 'authority', 'cert', 'key', 'token'] as const;

/** Undefined for a machine that has not joined. */
export async function readIdentity({ node: file }: Pick<DataFolder, 'node'>): Promise<NodeIdentity | undefined> {
  const text = await readIfExists(file);
  if (text === undefined) return undefined;
  const value = parseJsonObject(text) ?? {};
  if (fields.some((field) => typeof value[field] !== 'string'))
    throw new EruError(
      'invalid',
      `${file} is damaged; remove it, and join again with a new token (\`eru node token\`)`,
    );
  return value as unknown as NodeIdentity;
}

export async function writeIdentity({ node: file }: Pick<DataFolder, 'node'>, identity: NodeIdentity): Promise<void> {
  await writeFileAtomic(file, `${JSON.stringify({ v: 1, ...identity })}\n`, 0o600);
}

/** The key with which a machine asks to join: kept, so that it can ask again when it dies before it has the answer. */
export interface Asking {
  token: string;
  cert: string;
  key: string;
}

export async function readAsking(data: Pick<DataFolder, 'node'>, token: string): Promise<Asking | undefined> {
  const value = parseJsonObject((await readIfExists(askingFile(data))) ?? '') ?? {};
  return value['token'] === token ? (value as unknown as Asking) : undefined;
}

export async function writeAsking(data: Pick<DataFolder, 'node'>, asking: Asking): Promise<void> {
  await writeFileAtomic(askingFile(data), `${JSON.stringify(asking)}\n`, 0o600);
}

export async function removeAsking(data: Pick<DataFolder, 'node'>): Promise<void> {
  await rm(askingFile(data), { force: true });
}

function askingFile({ node }: Pick<DataFolder, 'node'>): string {
  return `${node}.joining`;
}
