import type { eru, MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { Connection } from './connection.ts';

/** Everything that matches, in name order. A word that matches nothing is `not_found`. */
export async function listWorkloads(
  connection: Pick<Connection, 'eru'>,
  request: MessageInitShape<typeof eru.ListWorkloadsRequestSchema>,
  signal: AbortSignal,
): Promise<eru.Workload[]> {
  const found: eru.Workload[] = [];
  for await (const workload of connection.eru.listWorkloads(request, { signal })) found.push(workload);
  return found;
}

/** The one workload that a word means: its name, its id or the beginning of its id. */
export async function findWorkload(connection: Connection, word: string, signal: AbortSignal): Promise<eru.Workload> {
  const [workload] = await findWorkloads(connection, [word], signal);
  return workload as eru.Workload;
}

/** Fails before any effect when one of the words means nothing. */
export async function findWorkloads(
  connection: Connection,
  words: readonly string[],
  signal: AbortSignal,
): Promise<eru.Workload[]> {
  const empty = words.find((word) => word.trim() === '');
  if (empty !== undefined) throw new EruError('invalid', 'an empty word names no workload; give a name or an id');
  const found = await listWorkloads(connection, { words: [...words] }, signal);
  if (found.length === 0) throw new EruError('not_found', `no workload is called ${words.join(', ')}`);
  return found;
}
