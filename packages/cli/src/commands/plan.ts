import type { eru } from '@eru/contract';
import type { Json } from '@eru/kit';
import { choiceDocument, type Choice } from '@eru/scheduler';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { showPlan } from '../show/plan-view.ts';
import { capacityOf, countOf, refusal } from '../show/refusal.ts';
import { readSpec, type SpecFlags } from '../spec/spec-file.ts';

export interface PlanFlags extends SpecFlags {
  /** A file of nodes: no cluster is asked. */
  nodes?: string;
  explain?: boolean;
}

/** Without effect: what `deploy` would do, or why it would not. */
export async function plan(context: Context, flags: PlanFlags, source: string): Promise<number> {
  if (flags.nodes !== undefined) {
    const { planAlone } = await import('./plan-alone.ts');
    return planAlone(context, { ...flags, nodes: flags.nodes }, source);
  }
  const request = { ...(await readSpec(context, source, flags)), explain: flags.explain === true };
  const result = await withConnection(context, ({ eru }) => eru.plan(request, { signal: context.signal }));
  if (result.ok || context.globals.output !== 'table') {
    await showPlan(context, flags, {
      document: () => planDocument(result),
      choices: result.choices.map(choiceOf),
      listed: capacityOf(result),
    });
  }
  if (!result.ok) throw refusal(result);
  return exitCodes.ok;
}

function choiceOf({ node, instances, count, capacity, usage, rate, preference }: eru.Choice): Choice {
  return {
    node,
    instances: countOf(instances),
    count: countOf(count),
    capacity: countOf(capacity),
    usage,
    rate,
    preference,
  };
}

function planDocument(result: eru.PlanResult): Json {
  const { capacity, refused } = capacityOf(result);
  return {
    ok: result.ok,
    message: result.message,
    instances: result.instances.map(({ node, resources, engineParams }) => ({
      node,
      resources: parseObject(resources),
      engine_params: parseObject(engineParams),
    })),
    total: bounded(capacity.total),
    capacities: Object.fromEntries(capacity.nodes.map(({ node, count }) => [node, bounded(count)])),
    refused: refused.map((each) => ({ ...each })),
    choices: result.choices.map((choice) => choiceDocument(choiceOf(choice))),
  };
}

function parseObject(json: string): Json {
  return json === '' ? {} : (JSON.parse(json) as Json);
}

/** null = nothing bounds it. */
function bounded(count: number): number | null {
  return Number.isFinite(count) ? count : null;
}
