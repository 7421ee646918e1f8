import type { eru, pb } from '@eru/contract';
import { EruError } from '@eru/kit';
import type { Refusal } from '@eru/scheduler';
import { explain } from '@eru/scheduler';

import type { Connection } from './connection.ts';
import { withConnection } from './connection.ts';
import type { Context, Shell } from './context.ts';
import { exitCodes } from './context.ts';
import type { DeployRequest } from './deploy-request.ts';
import { waitShowing } from './healthy.ts';
import { colorsFor, say, show, showList } from './output.ts';
import { Progress } from './progress.ts';
import type { SpecFlags } from './spec-file.ts';
import { readSpec } from './spec-file.ts';
import { table } from './table.ts';
import * as values from './values.ts';
import { workloadView } from './workload-view.ts';
import { listWorkloads } from './workloads.ts';

export interface DeployFlags extends SpecFlags {
  wait?: boolean;
  timeout?: string;
  async?: boolean;
  key?: string;
}

export async function deploy(context: Context, flags: DeployFlags, file: string): Promise<number> {
  const timeoutMs = values.flagged('--timeout', values.duration, flags.timeout ?? '60s');
  const { async: asynchronous = false, key = '' } = flags;
  if (asynchronous && flags.wait === true) throw new EruError('invalid', '--async and --wait: give one of the two');
  const { options, process } = await readSpec(context, file, flags);
  const request: DeployRequest = { options, process, asynchronous, idempotencyKey: key };
  return withConnection(context, async (connection) => {
    const { created, failed } = await runDeploy(context, connection, request);
    if (asynchronous) return exitCodes.ok;
    const ids = created.map(({ id }) => id);
    if (flags.wait === true && failed === 0) await waitShowing(context, connection, ids, timeoutMs);
    const workloads = ids.length === 0 ? [] : await listWorkloads(connection, { words: ids }, context.signal);
    await showList(context, workloads, workloadView(context.clock.now()));
    return failed === 0 ? exitCodes.ok : exitCodes.someFailed;
  });
}

/** Without effect: what `deploy` would do, or why it would not. */
export async function plan(context: Context, flags: SpecFlags, file: string): Promise<number> {
  const request = await readSpec(context, file, flags);
  const result = await withConnection(context, ({ eru }) => eru.plan(request, { signal: context.signal }));
  if (result.ok || context.globals.output !== 'table') await showPlan(context, result);
  if (!result.ok) throw refusal(result);
  return exitCodes.ok;
}

/**
 * Deploys and tells what happens on standard error. Throws `no_capacity` when it does not fit; instances that failed on
 * their own are counted.
 */
async function runDeploy(
  context: Shell,
  { eru }: Pick<Connection, 'eru'>,
  request: DeployRequest,
): Promise<{ created: pb.CreateWorkloadMessage[]; failed: number }> {
  const progress = new Progress(context);
  const created: pb.CreateWorkloadMessage[] = [];
  let failed = 0;
  try {
    for await (const { event } of eru.deploy(request, { signal: context.signal })) {
      switch (event.case) {
        case 'planned':
          for (const { name, node } of event.value.instances) if (name !== '') progress.set(name, `planned on ${node}`);
          if (request.asynchronous === true) say(context, `operation ${event.value.operation} goes on by itself`);
          break;
        case 'progress':
          if (event.value.step === 'done') break; // The message of this name says more.
          progress.set(event.value.name, `${event.value.step} on ${event.value.node}`);
          break;
        case 'done': {
          const { success, name, nodename, error, hook } = event.value;
          if (success) created.push(event.value);
          else failed += 1;
          progress.set(
            name || `an instance on ${nodename || 'no node'}`,
            success ? `started on ${nodename}` : `failed: ${error}`,
          );
          if (hook.length > 0) say(context, Buffer.from(hook).toString().trimEnd());
          break;
        }
        case 'refused':
          throw refusal(event.value);
        case undefined:
          break; // of a newer core
      }
    }
  } finally {
    progress.close();
  }
  return { created, failed };
}

/** The reason, then what is missing, node by node, equal ones together. */
function refusal(result: eru.PlanResult): EruError {
  const refused = result.refused.map(({ node, kind, reason, needed, free, unit }): Refusal => {
    return { node, kind, reason, needed, free, unit: unit === 'bytes' ? 'bytes' : 'number' };
  });
  const capacities = Object.entries(result.capacities).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const room = capacities.slice(0, 20).map(([node, count]) => `${node}: room for ${countText(count)}`);
  const more = capacities.length > room.length ? [`and ${capacities.length - room.length} more nodes with room`] : [];
  const lines = [result.message || 'it does not fit', ...room, ...more, ...explain(refused)];
  return new EruError('no_capacity', lines.join('\n  '));
}

async function showPlan(context: Context, result: eru.PlanResult): Promise<void> {
  const counts = new Map<string, number>();
  for (const { node } of result.instances) counts.set(node, (counts.get(node) ?? 0) + 1);
  await show(context, result, {
    plain: plainPlan,
    name: () => [...counts.keys()].join('\n'),
    table: (_result, colors) =>
      table(
        ['NODE', 'INSTANCES', 'ROOM FOR'],
        [...counts].map(([node, count]) => [node, String(count), roomText(result.capacities[node])]),
        colors,
      ),
  });
  if (result.ok && context.globals.output === 'table') {
    const colors = colorsFor(context.stderr, context.env);
    say(
      context,
      colors.dim(
        `${result.instances.length} of ${result.total <= 0n ? '?' : countText(result.total)} that fit; nothing was booked`,
      ),
    );
  }
}

function plainPlan(result: eru.PlanResult) {
  return {
    ok: result.ok,
    message: result.message,
    instances: result.instances.map(({ node, resources, engineParams }) => ({
      node,
      resources: parseObject(resources),
      engine_params: parseObject(engineParams),
    })),
    total: bounded(result.total),
    capacities: Object.fromEntries(Object.entries(result.capacities).map(([node, count]) => [node, bounded(count)])),
    refused: result.refused.map(({ node, kind, reason, needed, free, unit }) => ({
      node,
      kind,
      reason,
      needed,
      free,
      unit,
    })),
  };
}

function parseObject(json: string): unknown {
  return json === '' ? {} : JSON.parse(json);
}

const unbounded = 2n ** 63n - 1n;

/** null = nothing bounds it. */
function bounded(count: bigint): number | null {
  return count >= unbounded ? null : Number(count);
}

function countText(count: bigint): string {
  return count >= unbounded ? 'any number' : String(count);
}

function roomText(count: bigint | undefined): string {
  return count === undefined ? '' : countText(count);
}
