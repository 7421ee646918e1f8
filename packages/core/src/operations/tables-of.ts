import type { OperationRecord, Slot } from '../state/records.ts';
import { isHook, rowOf } from './drive.ts';
import {
  controlTables,
  dissociateTable,
  reallocTable,
  removeTables,
  replaceTables,
  rollTable,
  slotTables,
  workTable,
  end,
  type Table,
} from './transitions.ts';

/** The table of an operation, as its header says. A create that is not booked whole is only undone. */
export function tableOf(operation: OperationRecord): Table {
  switch (operation.kind) {
    case 'create':
      return operation.state !== 'running' || operation.request === undefined
        ? slotTables.create
        : slotTables.asynchronous;
    case 'lambda':
      return operation.state === 'running' ? slotTables.lambda : slotTables.create;
    case 'roll':
      return rollTable;
    case 'remove':
      return operation.stop ? removeTables.full : operation.force ? removeTables.forced : removeTables.unforced;
    case 'control':
      return controlTables[operation.type];
    case 'dissociate':
      return dissociateTable;
    case 'realloc':
      return reallocTable;
    case 'replace':
      return operation.overlap ? replaceTables.overlap : replaceTables.inPlace;
    case 'send':
    case 'raw':
    case 'network':
      return workTable;
  }
}

/** For people: what a core that takes an operation over does with it, and which hooks may have run already. */
export function takeoverText(operation: OperationRecord, slots: readonly Slot[]): string {
  const table = tableOf(operation);
  if ('step' in operation) {
    const before = (operation.hooks ?? []).filter((step) => step !== operation.step);
    return sentence(table, operation.step) + (before.length === 0 ? '' : `; ran before: ${before.join(', ')}`);
  }
  const counts = new Map<string, number>();
  const open = operation.kind === 'roll' ? operation.items.filter(({ step }) => step !== end) : slots;
  for (const { step } of open) counts.set(step, (counts.get(step) ?? 0) + 1);
  if (counts.size === 0) return 'nothing was left to do';
  return [...counts].map(([step, count]) => `${count} × ${sentence(table, step)}`).join('; ');
}

function sentence(table: Table, step: string): string {
  const { takeover, ok, refused } = rowOf(table, step);
  const hooks = isHook(table, step) ? 'hooks may have run and are not run again' : '';
  switch (takeover) {
    case 'repeat':
      return `${step}: repeated`;
    case 'skip':
      return `${step}: ${hooks || 'skipped'}, went on to ${ok[1]}`;
    case 'refuse':
      return `${step}: given up${hooks === '' ? '' : ` (${hooks})`}, went on to ${refused?.[1] ?? ok[1]}`;
  }
}
