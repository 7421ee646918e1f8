import type { eru, pb } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import type { Colors } from '../output.ts';
import { waitShowing } from '../show/healthy.ts';
import { colorsFor, showList, write } from '../output.ts';
import { table } from '../show/table.ts';
import * as values from '../spec/values.ts';
import { statusText } from '../show/workload-view.ts';
import { listWorkloads } from '../workloads.ts';

interface StatusFlags {
  watch?: boolean;
  wait?: boolean;
  timeout?: string;
  entry?: string;
  node?: string;
  label?: string[];
}

/** The state of workloads once, when all are healthy (wait), or now and whenever it changes (watch). */
export async function status(context: Context, flags: StatusFlags, app = ''): Promise<number> {
  const labels = values.flagged('--label', values.labels, flags.label ?? []);
  const timeoutMs = values.flagged('--timeout', values.duration, flags.timeout ?? '60s');
  const filter = { app, entrypoint: flags.entry ?? '', node: flags.node ?? '', labels };
  return withConnection(context, async (connection) => {
    if (flags.wait === true) {
      const found = await listWorkloads(connection, filter, context.signal);
      if (found.length === 0) throw new EruError('not_found', 'no workload matches; there is nothing to wait for');
      const ids = found.map(({ record }) => record?.id ?? '');
      await waitShowing(context, connection, ids, timeoutMs);
    }
    if (flags.watch === true) return watch(context, connection, filter);
    const workloads = await listWorkloads(connection, filter, context.signal);
    await showList(context, workloads, {
      plain: plainStatus,
      name: ({ record }) => record?.name ?? '',
      table: (items, colors) =>
        table(
          ['NAME', 'NODE', 'STATUS'],
          items.map((item) => [item.record?.name ?? '', item.record?.nodename ?? '', statusText(item, colors)]),
          colors,
        ),
    });
    return exitCodes.ok;
  });
}

interface Filter {
  app: string;
  entrypoint: string;
  node: string;
  labels: Record<string, string>;
}

/** The streams tell that something changed; what it is like now is read anew, so that a lost event loses nothing. */
async function watch(context: Context, connection: Connection, filter: Filter): Promise<number> {
  const { signal } = context;
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const shown = new Map<string, string>();
  const request = { appname: filter.app, entrypoint: filter.entrypoint, nodename: filter.node, labels: filter.labels };
  try {
    const workloads = connection.core.workloadStatusStream(request, { signal: both });
    const nodes = connection.core.nodeStatusStream({}, { signal: both });
    await refresh(context, connection, filter, shown);
    await Promise.race([
      each(workloads, () => refresh(context, connection, filter, shown)),
      each(nodes, (event) => showNode(context, event)),
    ]);
  } catch (error) {
    if (signal.aborted) return exitCodes.ok;
    throw error;
  } finally {
    stop.abort();
  }
  throw new EruError('unavailable', 'core ended the stream');
}

async function each<T>(stream: AsyncIterable<T>, run: (item: T) => Promise<void>): Promise<void> {
  for await (const item of stream) await run(item);
}

/** Shows what is not as it was shown last. */
async function refresh(
  context: Context,
  connection: Connection,
  filter: Filter,
  shown: Map<string, string>,
): Promise<void> {
  const gone = new Map(shown);
  for (const workload of await listWorkloads(connection, filter, context.signal)) {
    const { name = '' } = workload.record ?? {};
    gone.delete(name);
    const state = JSON.stringify(plainStatus(workload));
    if (shown.get(name) === state) continue;
    shown.set(name, state);
    await line(
      context,
      plainStatus(workload),
      (colors) => `${name}  ${workload.record?.nodename}  ${statusText(workload, colors)}`,
    );
  }
  for (const name of gone.keys()) {
    shown.delete(name);
    await line(context, { name, removed: true }, (colors) => `${name}  ${colors.dim('removed')}`);
  }
}

async function showNode(
  context: Context,
  { nodename, podname, alive, error }: pb.NodeStatusStreamMessage,
): Promise<void> {
  await line(context, { node: nodename, pod: podname, alive, error }, (colors) => {
    const state = error === '' ? (alive ? colors.green('up') : colors.red('down')) : colors.red(error);
    return `node ${nodename}  ${podname}  ${state}`;
  });
}

/** With a format for programs, one JSON line for each event. */
async function line(context: Context, plain: unknown, text: (colors: Colors) => string): Promise<void> {
  const { stdout, env, globals, clock } = context;
  const time = new Date(clock.now()).toISOString();
  const shown =
    globals.output === 'table'
      ? `${time.slice(0, 19)}Z  ${text(colorsFor(stdout, env))}`
      : JSON.stringify({ time, ...(plain as Record<string, unknown>) });
  await write(stdout, `${shown}\n`);
}

function plainStatus({ record, status, vanishedAt }: eru.Workload) {
  return {
    id: record?.id ?? '',
    name: record?.name ?? '',
    node: record?.nodename ?? '',
    state: status?.state ?? '',
    running: status?.running ?? false,
    healthy: status?.healthy ?? false,
    reason: status?.reason ?? '',
    restarts: status?.restarts ?? 0,
    exit_code: status?.exitCode ?? 0,
    oom_killed: status?.oomKilled ?? false,
    vanished: vanishedAt > 0n,
  };
}
