/** Named integer amounts: pieces per core, bytes per NUMA node. Never mutated. */
export type Amounts = Readonly<Record<string, number>>;

export function addAmounts(left: Amounts, right: Amounts, sign: 1 | -1 = 1): Amounts {
  const added = Object.entries(right);
  if (added.length === 0) return left;
  const sum: Record<string, number> = { ...left };
  for (const [name, amount] of added) sum[name] = (sum[name] ?? 0) + sign * amount;
  return sum;
}

export function largerAmounts(left: Amounts, right: Amounts): Amounts {
  const larger: Record<string, number> = { ...left };
  for (const [name, amount] of Object.entries(right)) larger[name] = Math.max(larger[name] ?? 0, amount);
  return larger;
}
