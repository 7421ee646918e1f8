import { formatSize } from '@eru/kit';
import type { Refusal, Unit } from './model.ts';

/**
 * Refusals for people: one line for each thing that is missing, the commonest first, such as
 * `4,812 nodes: free memory 64M < 512M`. Where nodes differ, the largest amount is named: it says how near the best was.
 */
export function explain(refused: readonly Refusal[]): string[] {
  const groups = new Map<string, Refusal[]>();
  for (const refusal of refused) {
    const { kind, reason, needed } = refusal;
    const key = JSON.stringify([kind, reason, needed]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [refusal]);
    else group.push(refusal);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length).map(explainGroup);
}

function explainGroup(group: readonly Refusal[]): string {
  const [first] = group as readonly [Refusal];
  const who = group.length === 1 ? first.node : `${group.length.toLocaleString('en-US')} nodes`;
  if (first.unit === 'none') return `${who}: ${first.reason}`;
  const most = group.reduce((most, { free }) => Math.max(most, free), -Infinity);
  const atMost = group.some(({ free }) => free !== most) ? 'at most ' : '';
  return `${who}: ${first.reason} ${atMost}${format(most, first.unit)} < ${format(first.needed, first.unit)}`;
}

function format(amount: number, unit: Unit): string {
  return unit === 'bytes' ? formatSize(amount) : String(amount);
}
