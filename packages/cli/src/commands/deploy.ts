import type { pb } from '@eru/contract';
import { EruError } from '@eru/kit';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context, Shell } from '../context.ts';
import { exitCodes } from '../context.ts';
import type { DeployRequest } from '../spec/deploy-request.ts';
import { waitShowing } from '../show/healthy.ts';
import { say, showList } from '../output.ts';
import { Progress } from '../show/progress.ts';
import { refusal } from '../show/refusal.ts';
import type { SpecFlags } from '../spec/spec-file.ts';
import { readSpec } from '../spec/spec-file.ts';
import * as values from '../spec/values.ts';
import { workloadView } from '../show/workload-view.ts';
import { listWorkloads } from '../workloads.ts';

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
  const { options, process, engine = '' } = await readSpec(context, file, flags);
  const request: DeployRequest = { options, process, engine, asynchronous, idempotencyKey: key };
  return withConnection(context, async (connection) => {
    const { created, failed } = await runDeploy(context, connection, request);
    if (asynchronous) return exitCodes.ok;
    const ids = created.map(({ id }) => id);
    if (flags.wait === true && failed === 0) await waitShowing(context, connection, ids, timeoutMs);
    const workloads = ids.length === 0 ? [] : await listWorkloads(connection, { words: ids }, context.signal);
    const { output } = context.globals;
    // A table without a row says nothing to somebody who has just read why.
    if (failed === 0 || workloads.length > 0 || output !== 'table')
      await showList(context, workloads, workloadView(context.clock.now()));
    return failed === 0 ? exitCodes.ok : exitCodes.someFailed;
  });
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
  const failed = new Set<string>();
  try {
    for await (const { event } of eru.deploy(request, { signal: context.signal })) {
      switch (event.case) {
        case 'planned':
          for (const { name, node } of event.value.instances) if (name !== '') progress.set(name, `planned on ${node}`);
          if (request.asynchronous === true) say(context, `operation ${event.value.operation} goes on by itself`);
          break;
        case 'progress':
          // The message of this name says more than that it is done, or undone.
          if (event.value.step === 'done' || failed.has(event.value.name)) break;
          progress.set(event.value.name, `${event.value.step} on ${event.value.node}`);
          break;
        case 'done': {
          const { success, name, nodename, error, hook } = event.value;
          if (success) created.push(event.value);
          else failed.add(name);
          progress.set(name, success ? `started on ${nodename}` : `failed: ${error}`);
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
  return { created, failed: failed.size };
}
