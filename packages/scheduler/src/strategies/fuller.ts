import type { Figures } from '../field/field.ts';
import { unlimited } from '../model.ts';

/**
 * Which of two nodes comes first that a strategy ranks alike, which the reference leaves to chance: the fuller one, since
 * then what is left elsewhere stays in larger pieces; then the one with less room for this request; then the plan's own order.
 * Nodes that nothing bounds are not to be filled up: of those that order decides alone.
 */
export function fuller(figures: Figures, a: number, b: number): boolean {
  const { usage, capacity } = figures;
  const [capacityA, capacityB] = [capacity[a] as number, capacity[b] as number];
  if (capacityA !== unlimited && capacityB !== unlimited) {
    const [usageA, usageB] = [usage[a] as number, usage[b] as number];
    if (usageA !== usageB) return usageA > usageB;
  }
  return capacityA === capacityB ? sooner(figures, a, b) : capacityA < capacityB;
}

/** Which of two nodes comes first that are equally good: the plan's seed decides, without one the name. */
export function sooner({ ties }: Figures, a: number, b: number): boolean {
  const [tieA, tieB] = [ties[a] as number, ties[b] as number];
  return tieA === tieB ? a < b : tieA < tieB;
}
