import type { Json } from '@eru/kit';
import { explain, type CapacityResult, type Choice } from '@eru/scheduler';

import type { Context } from '../context.ts';
import { colorsFor, say, show, type Colors } from '../output.ts';
import { roomText } from './refusal.ts';
import { table } from './table.ts';

export interface ShownPlan {
  /** What `-o json` shows. */
  document: () => Json;
  choices: readonly Choice[];
  listed: CapacityResult;
}

/** The chosen nodes; with `--explain` why these, and why not the others. */
export async function showPlan(
  context: Context,
  { explain: asked }: { explain?: boolean },
  shown: ShownPlan,
): Promise<void> {
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
