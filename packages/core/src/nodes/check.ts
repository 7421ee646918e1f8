import { EruError, limitConcurrency } from '@eru/kit';
import type { NodeResources } from '@eru/scheduler';

import { noSuchNode } from '../absent.ts';
import type { Context } from '../context.ts';
import { checkExternal } from '../external/check.ts';
import { bookedByNode, snapshot } from '../invariants.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { nodeOf } from './nodes.ts';
import { encode, versioned, type NodeResourcesRecord } from '../state/records.ts';

/** Workloads that are asked for at the same time. */
const concurrentInspects = 16;

export interface NodeCheck {
  resources: NodeResources;
  /** What is wrong, a line each. */
  lines: string[];
}

/**
 * Compares what is booked on a node with what its records and slots hold, at one revision of the store, and asks its engine
 * for every workload. `fix` sets the usage to that sum; the lines still say what was wrong.
 */
export async function checkNode(
  context: Context,
  tenure: Tenure,
  name: string,
  fix: boolean,
  signal: AbortSignal,
): Promise<NodeCheck> {
  nodeOf(context, name);
  const outside = await checkExternal(context, tenure, name, fix);
  const [compared, inspected] = await Promise.all([
    compare(context, tenure, name, fix),
    inspectAll(context, name, signal),
  ]);
  const { capacity, usage } = compared.resources;
  return {
    resources: { capacity: { ...capacity, ...outside?.capacity }, usage: { ...usage, ...outside?.usage } },
    lines: [...compared.lines, ...(outside?.differences ?? []), ...inspected],
  };
}

async function compare(context: Context, tenure: Tenure, name: string, fix: boolean): Promise<NodeCheck> {
  const { store, scheduler, committer } = context;
  let told: string[] = [];
  for (;;) {
    const all = await snapshot(store);
    const kv = all.kvs.get(keys.nodeResources(name));
    if (kv === undefined) throw noSuchNode(name);
    const { value } = versioned<NodeResourcesRecord>(kv);
    const { lines, fixed } = scheduler.diff(value, bookedByNode(all).get(name) ?? []);
    if (!fix || lines.length === 0) return { resources: value, lines: lines.length === 0 ? told : lines };
    told = lines;
    // Any booking in between rewrites the key, and the sum is made anew.
    const result = await committer.commit(tenure, {
      own: [],
      shared: [{ key: kv.key, revision: kv.modRevision, value: encode({ ...value, ...fixed }) }],
    });
    if (result.committed) return { resources: fixed, lines };
  }
}

async function inspectAll(context: Context, name: string, signal: AbortSignal): Promise<string[]> {
  const limit = limitConcurrency(concurrentInspects);
  const lines = await Promise.all(
    context.view.workloadsOn(name).map(({ id }) =>
      limit(async () => {
        try {
          await context.engineOf(name).inspect(id, { signal });
          return [];
        } catch (error) {
          return [`workload ${id} inspect failed ${EruError.from(error).message}`];
        }
      }),
    ),
  );
  return lines.flat();
}
