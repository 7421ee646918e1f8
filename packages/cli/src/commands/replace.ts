import { EruError } from '@eru/kit';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { colorsFor, say, showList } from '../output.ts';
import type { SpecFlags } from '../spec/spec-file.ts';
import { readSpec } from '../spec/spec-file.ts';
import * as values from '../spec/values.ts';
import { workloadView } from '../show/workload-view.ts';
import { findWorkloads, listWorkloads } from '../workloads.ts';

interface ReplaceFlags extends SpecFlags {
  overlap?: boolean;
  window?: string;
  healthGate?: string;
  networkInherit?: boolean;
  copy?: string[];
  filterLabel?: string[];
  workload?: string[];
  key?: string;
}

/** New workloads in the place of the old ones of an entrypoint, some at a time; the first failure ends it. */
export async function replace(context: Context, flags: ReplaceFlags, file: string): Promise<number> {
  const window = values.flagged('--window', atLeastOne, flags.window ?? '1');
  const healthGate = Math.ceil(values.flagged('--health-gate', values.duration, flags.healthGate ?? '0s') / 1000);
  const filterLabels = values.flagged('--filter-label', values.labels, flags.filterLabel ?? []);
  const copy = Object.fromEntries((flags.copy ?? []).map(copyOf));
  const { options, process, engine = '' } = await readSpec(context, file, flags);
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const old = flags.workload === undefined ? [] : await findWorkloads(connection, flags.workload, signal);
    const request = {
      options,
      process,
      engine,
      ids: old.map(({ record }) => record?.id ?? ''),
      filterLabels,
      inheritNetworks: flags.networkInherit ?? false,
      copy,
      overlap: flags.overlap ?? false,
      window,
      healthGate,
      idempotencyKey: flags.key ?? '',
    };
    const colors = colorsFor(context.stderr, context.env);
    const made: string[] = [];
    let failed = 0;
    for await (const event of connection.eru.replace(request, { signal })) {
      const { oldName, oldId, success, error, created, stopHook, skipped } = event;
      const name = oldName || oldId;
      if (success) {
        made.push(created?.id ?? '');
        say(context, `${name} replaced by ${created?.name ?? ''} on ${created?.nodename ?? ''}`);
      } else {
        failed += 1;
        say(context, skipped ? colors.dim(`${name} kept: ${error}`) : colors.red(`${name} kept, failed: ${error}`));
      }
      for (const hook of [stopHook, created?.hook ?? new Uint8Array()])
        if (hook.length > 0) say(context, Buffer.from(hook).toString().trimEnd());
    }
    if (made.length + failed === 0) say(context, 'nothing to replace: no workload of this entrypoint is wanted');
    const workloads = made.length === 0 ? [] : await listWorkloads(connection, { words: made }, signal);
    // A table without a row says nothing to somebody who has just read why.
    if (failed === 0 || workloads.length > 0 || context.globals.output !== 'table')
      await showList(context, workloads, workloadView(context.clock.now()));
    return failed === 0 ? exitCodes.ok : exitCodes.someFailed;
  });
}

const atLeastOne = values.integer(1, 'write how many at a time, 1 or more');

function copyOf(pair: string): [string, string] {
  const [source = '', target = '', ...rest] = pair.split(':');
  if (source.startsWith('/') && target.startsWith('/') && rest.length === 0) return [source, target];
  throw new EruError('invalid', `--copy: ${values.refuse(pair, 'write OLD:NEW, two absolute paths').message}`);
}
