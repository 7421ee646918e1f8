import type { eru } from '@eru/contract';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import type { Colors, View } from '../output.ts';
import { colorsFor, show, showList, write } from '../output.ts';
import { sheet, table } from '../show/table.ts';
import { ageText } from '../show/workload-view.ts';

interface ListFlags {
  all?: boolean;
  kind?: string;
  workload?: string;
}

/** `eru op ls`: what is in flight; with --all also what has ended lately. */
export async function listOperations(
  context: Context,
  { all = false, kind = '', workload = '' }: ListFlags,
): Promise<undefined> {
  const { signal } = context;
  const found: eru.Operation[] = [];
  await withConnection(context, async (connection) => {
    for await (const one of connection.eru.listOperations({ ended: all, kind, workload }, { signal })) found.push(one);
  });
  await showList(context, found, viewAt(context.clock.now()));
}

export async function showOperation(context: Context, _flags: unknown, id: string): Promise<undefined> {
  const { signal } = context;
  const found = await withConnection(context, (connection) => connection.eru.getOperation({ id }, { signal }));
  const view = viewAt(context.clock.now());
  await show(context, found, { ...view, table: (one, colors) => details(one, context.clock.now(), colors) });
}

/** `eru op watch`: what is in flight, then a line for each step of any of them; with -o json a document per line. */
export async function watchOperations(context: Context): Promise<undefined> {
  const { signal, stdout, env, globals } = context;
  const colors = colorsFor(stdout, env);
  await withConnection(context, async (connection) => {
    for await (const { event } of connection.eru.watchOperations({}, { signal })) {
      if (event.case !== 'changed' && event.case !== 'ended') continue;
      const { value: operation } = event;
      if (globals.output === 'json' || globals.output === 'yaml')
        await write(stdout, `${JSON.stringify(plainOperation(operation))}\n`);
      else if (globals.output === 'name') await write(stdout, `${operation.id}\n`);
      else await write(stdout, `${operationLine(operation, colors)}\n`);
    }
  }).catch((error: unknown) => {
    // Ctrl-C is how a watch ends.
    if (!signal.aborted) throw error;
  });
}

function viewAt(now: number): View<eru.Operation> {
  return {
    plain: plainOperation,
    name: ({ id }) => id,
    table: (operations, colors) =>
      table(
        ['ID', 'KIND', 'WHAT', 'NODE', 'STEP', 'OWNER', 'AGE', 'TAKEN OVER'],
        operations.map((operation) => [
          operation.id,
          kindOf(operation),
          operation.name,
          nodesOf(operation),
          stepOf(operation),
          ownerOf(operation, colors),
          ageText(now - Number(operation.createdAt)),
          operation.takeovers.at(-1)?.did ?? '',
        ]),
        colors,
      ),
  };
}

function details(operation: eru.Operation, now: number, colors: Colors): string {
  const top = sheet(
    [
      ['Id', operation.id],
      ['Kind', kindOf(operation)],
      ['What', operation.name],
      ['Workload', operation.workload],
      ['Node', operation.node],
      ['Step', stepOf(operation)],
      ['Hooks begun', operation.hooks.join(', ')],
      ['Owner', ownerOf(operation, colors)],
      ['Key', operation.idempotencyKey],
      ['Begun', `${timeText(Number(operation.createdAt))} (${ageText(now - Number(operation.createdAt))} ago)`],
      ['Ended', operation.endedAt === 0n ? '' : timeText(Number(operation.endedAt))],
      ...operation.takeovers.map(
        ({ at, from, by, did }) =>
          [`Taken over`, `${timeText(Number(at))} by ${by.slice(0, 8)} from ${from.slice(0, 8)}: ${did}`] as const,
      ),
    ],
    colors,
  );
  if (operation.slots.length === 0) return top;
  const rows = operation.slots.map(({ name, node, step, id }) => [name, node, step, id.slice(0, 12)]);
  return `${top}\n\n${table(['INSTANCE', 'NODE', 'STEP', 'ID'], rows, colors)}`;
}

export function operationLine(operation: eru.Operation, colors: Colors): string {
  const { id, name, node, takeovers, endedAt } = operation;
  const step = endedAt === 0n ? stepOf(operation) : colors.dim(stepOf(operation));
  const taken = takeovers.at(-1);
  const note = taken === undefined ? '' : colors.yellow(` (taken over: ${taken.did})`);
  return `${id}  ${kindOf(operation)} ${name}${node === '' ? '' : ` on ${node}`}: ${step}${note}`;
}

function kindOf({ kind, detail }: eru.Operation): string {
  return detail === '' ? kind : `${kind} (${detail})`;
}

function nodesOf({ node, slots }: eru.Operation): string {
  return node === '' && slots.length > 0 ? `${new Set(slots.map((slot) => slot.node)).size} nodes` : node;
}

/** Of several instances how many are at which step; of what has ended the last step. */
function stepOf({ step, slots, workload, endedAt }: eru.Operation): string {
  const counts = new Map<string, number>();
  for (const slot of workload === '' ? slots : []) counts.set(slot.step, (counts.get(slot.step) ?? 0) + 1);
  const text = counts.size === 0 ? step : [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
  return endedAt === 0n ? text : `ended: ${text}`;
}

function ownerOf({ owner, ownerAddress, ownerAlive, endedAt }: eru.Operation, colors: Colors): string {
  if (ownerAlive) return ownerAddress;
  return endedAt === 0n ? colors.red(`${owner.slice(0, 8)} (dead)`) : owner.slice(0, 8);
}

export function plainOperation(operation: eru.Operation): object {
  const { $typeName: _type, createdAt, endedAt, slots, takeovers, ...rest } = operation;
  return {
    ...rest,
    createdAt: Number(createdAt),
    endedAt: endedAt === 0n ? null : Number(endedAt),
    slots: slots.map(({ name, node, step, id }) => ({ name, node, step, id })),
    takeovers: takeovers.map(({ from, by, at, did }) => ({ from, by, at: Number(at), did })),
  };
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
