import { withConnection } from './connection.ts';
import type { Context } from './context.ts';
import { show, showList } from './output.ts';
import * as values from './values.ts';
import { findWorkload, listWorkloads } from './workloads.ts';
import { plainDescription, workloadSheet, workloadView } from './workload-view.ts';

export interface ListFlags {
  app?: string;
  entry?: string;
  node?: string;
  pod?: string;
  label?: string[];
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
  const workloads = await withConnection(context, (connection) => listWorkloads(connection, request, context.signal));
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
