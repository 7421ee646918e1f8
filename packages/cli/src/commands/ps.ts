import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { show, showList } from '../output.ts';
import { waitShowing } from '../show/healthy.ts';
import * as values from '../spec/values.ts';
import { findWorkload, listWorkloads } from '../workloads.ts';
import { plainDescription, workloadSheet, workloadView } from '../show/workload-view.ts';

export interface ListFlags {
  app?: string;
  entry?: string;
  node?: string;
  pod?: string;
  label?: string[];
  wait?: boolean;
  timeout?: string;
}

export async function ps(context: Context, flags: ListFlags, words: string[]): Promise<undefined> {
  const request = {
    app: flags.app ?? '',
    entrypoint: flags.entry ?? '',
    node: flags.node ?? '',
    pod: flags.pod ?? '',
    labels: values.flagged('--label', values.labels, flags.label ?? []),
    words,
  };
  const timeoutMs = values.flagged('--timeout', values.duration, flags.timeout ?? '60s');
  const workloads = await withConnection(context, async (connection) => {
    const found = await listWorkloads(connection, request, context.signal);
    if (flags.wait !== true || found.length === 0) return found;
    const ids = found.map(({ record }) => record?.id ?? '');
    await waitShowing(context, connection, ids, timeoutMs);
    return listWorkloads(connection, request, context.signal);
  });
  await showList(context, workloads, workloadView(context.clock.now()));
}

export async function describe(context: Context, _flags: unknown, word: string): Promise<undefined> {
  const workload = await withConnection(context, (connection) => findWorkload(connection, word, context.signal));
  await show(context, workload, {
    plain: plainDescription,
    name: ({ record }) => record?.name ?? '',
    table: (item, colors) => workloadSheet(item, context.clock.now(), colors),
  });
}
