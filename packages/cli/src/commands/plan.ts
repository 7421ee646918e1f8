import type { eru } from '@eru/contract';
import type { Json } from '@eru/kit';
import { choiceDocument, explain, type CapacityResult, type Choice } from '@eru/scheduler';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { colorsFor, say, show, type Colors } from '../output.ts';
import { capacityOf, countOf, refusal, roomText } from '../show/refusal.ts';
import { readSpec, type SpecFlags } from '../spec/spec-file.ts';
import { table } from '../show/table.ts';

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

interface ShownPlan {
  /** What `-o json` shows. */
  document: () => Json;
  choices: readonly Choice[];
  listed: CapacityResult;
}

/** The chosen nodes; with `--explain` why these, and why not the others. */
export async function showPlan(context: Context, { explain: asked }: PlanFlags, shown: ShownPlan): Promise<void> {
  const { choices, listed } = shown;
  await show(context, shown, {
    plain: ({ document }) => document(),
    name: () => choices.map(({ node }) => node).join('\n'),
    table: (_shown, colors) => (asked === true ? explainedTable(choices, colors) : choicesTable(choices, colors)),
  });
  if (context.globals.output !== 'table') return;
  const colors = colorsFor(context.stderr, context.env);
  if (asked === true) for (const line of explain(listed.refused)) say(context, line);
  const placed = choices.reduce((sum, { instances }) => sum + instances, 0);
  const fitting = asked === true ? `${placed} of ${roomText(listed.capacity.total)} that fit` : `${placed} in all`;
  say(context, colors.dim(`${fitting}; nothing was booked`));
}

function choicesTable(choices: readonly Choice[], colors: Colors): string {
  return table(
    ['NODE', 'INSTANCES', 'ROOM FOR'],
    choices.map(({ node, instances, capacity }) => [node, String(instances), roomText(capacity)]),
    colors,
  );
}

function explainedTable(choices: readonly Choice[], colors: Colors): string {
  return table(
    ['NODE', 'INSTANCES', 'ROOM FOR', 'OF THIS APP', 'USED', 'BY EACH', 'PREFERENCE'],
    choices.map(({ node, instances, capacity, count, usage, rate, preference }) => [
      node,
      String(instances),
      roomText(capacity),
      String(count),
      percent(usage),
      percent(rate),
      String(preference),
    ]),
    colors,
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
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
