import { EruError, isEruError } from '@eru/kit';
import { explain, type Refusal } from '@eru/scheduler';

import { engineCallMs, withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { showList } from '../output.ts';
import * as values from '../spec/values.ts';
import { workloadView } from '../show/workload-view.ts';
import { findWorkload, listWorkloads } from '../workloads.ts';

interface ReallocFlags {
  cpu?: string;
  cpuRequest?: string;
  cpuLimit?: string;
  memory?: string;
  memoryRequest?: string;
  memoryLimit?: string;
  storage?: string;
  storageRequest?: string;
  storageLimit?: string;
  cpuBind?: boolean;
  cpuUnbind?: boolean;
  extraResources?: string;
  key?: string;
}

/** Adds to what a workload has, live; every amount is a difference and may be negative. */
export async function realloc(context: Context, flags: ReallocFlags, word: string): Promise<undefined> {
  const { key = '', ...amounts } = flags;
  if (Object.keys(amounts).length === 0)
    throw new EruError('invalid', 'nothing to change; give amounts to add, such as --memory 64M or --cpu -0.5');
  const resources = payload(amounts);
  await withConnection(context, async (connection) => {
    const { signal } = context;
    const { record } = await findWorkload(connection, word, signal);
    const id = record?.id ?? '';
    await connection.eru
      .realloc({ id, resources, idempotencyKey: key }, { signal, timeoutMs: engineCallMs })
      .catch(withReason);
    await showList(
      context,
      await listWorkloads(connection, { words: [id] }, signal),
      workloadView(context.clock.now()),
    );
  });
}

/** The original's sentence, then which node lacks how much of what. */
function withReason(error: unknown): never {
  if (!isEruError(error, 'no_capacity') || !('reason' in error.details)) throw error;
  const lines = [error.message, ...explain([error.details as unknown as Refusal])];
  throw new EruError('no_capacity', lines.join('\n  '), { cause: error });
}

/** The payloads of reference/cli.md section 9; what is not named stays. @throws EruError `invalid` */
function payload(flags: ReallocFlags): Record<string, Uint8Array> {
  if (flags.cpuBind === true && flags.cpuUnbind === true)
    throw new EruError('invalid', '--cpu-bind and --cpu-unbind: give one of the two');
  const cpu = amounts('cpu', values.coresChange, flags.cpu, flags.cpuRequest, flags.cpuLimit);
  const memory = amounts('memory', values.sizeChange, flags.memory, flags.memoryRequest, flags.memoryLimit);
  const storage = amounts('storage', values.sizeChange, flags.storage, flags.storageRequest, flags.storageLimit);
  const bind =
    flags.cpuBind === true ? { 'cpu-bind': true } : flags.cpuUnbind === true ? {} : { 'keep-cpu-bind': true };
  const extra =
    flags.extraResources === undefined
      ? {}
      : values.flagged('--extra-resources', values.resourceRequests, flags.extraResources);
  const all: Record<string, unknown> = { ...extra, cpumem: { ...cpu, ...memory, ...bind } };
  if (Object.keys(storage).length > 0) all['storage'] = storage;
  return Object.fromEntries(Object.entries(all).map(([kind, asked]) => [kind, Buffer.from(JSON.stringify(asked))]));
}

/** `--NAME` means both request and limit, unless they are given by themselves. */
function amounts(
  name: string,
  parse: values.Parse<number>,
  both: string | undefined,
  request: string | undefined,
  limit: string | undefined,
): Record<string, number> {
  const amount = (part: string, own: string | undefined): [string, number][] => {
    const text = own ?? both;
    const flag = own === undefined ? `--${name}` : `--${name}-${part}`;
    return text === undefined ? [] : [[`${name}-${part}`, values.flagged(flag, parse, text)]];
  };
  return Object.fromEntries([...amount('request', request), ...amount('limit', limit)]);
}
