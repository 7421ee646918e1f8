import type { Figures } from '../field/field.ts';
import { unlimited } from '../model.ts';

/**
 * Which of two nodes comes first that a strategy ranks alike, which the reference leaves to chance: the fuller one, since
 * then what is left elsewhere stays in larger pieces; then the one with less room for this request; then the name. Nodes that
 * nothing bounds are not to be filled up: of those the name decides alone.
 */
export function fuller({ usage, capacity }: Figures, a: number, b: number): boolean {
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  if (capacityA !== unlimited && capacityB !== unlimited) {
    const [usageA, usageB] = [usage[a] as number, usage[b] as number];
    if (usageA !== usageB) return usageA > usageB;
  }
  return capacityA === capacityB ? a < b : capacityA < capacityB;
}
