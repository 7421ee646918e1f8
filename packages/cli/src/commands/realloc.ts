import { EruError } from '@eru/kit';

import { withConnection } from '../connection.ts';
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
}

/** Adds to what a workload has, live; every amount is a difference and may be negative. */
export async function realloc(context: Context, flags: ReallocFlags, word: string): Promise<undefined> {
  const resources = payload(flags);
  await withConnection(context, async (connection) => {
    const { signal } = context;
    const { record } = await findWorkload(connection, word, signal);
    const id = record?.id ?? '';
    await connection.eru.realloc({ id, resources }, { signal });
    await showList(
      context,
      await listWorkloads(connection, { words: [id] }, signal),
      workloadView(context.clock.now()),
    );
  });
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
  const given = { request: request ?? both, limit: limit ?? both };
  return Object.fromEntries(
    Object.entries(given).flatMap(([part, text]) =>
      text === undefined ? [] : [[`${name}-${part}`, values.flagged(`--${name}-${part}`, parse, text)]],
    ),
  );
}
