import { expect, it } from 'vitest';
import type { Pieces } from './cpu-plans.ts';
import { keepingPlan } from './keeping.ts';

const rules = { shareBase: 100, maxShare: -1, mendMemory: true };

/** Pieces by core of a workload that holds `held`; all that is free, what it holds among it. */
function plan(free: Record<string, number>, held: Record<string, number>, cpu: number): unknown {
  const [cores, origin] = [free, held].map((amounts): Pieces => new Map(Object.entries(amounts)));
  const node = { cores: cores as Pieces, memory: 0, numa: new Map(), numaMemory: new Map() };
  const found = keepingPlan(node, { cpu, memory: 0 }, rules, { cores: origin as Pieces, numaNode: '' });
  return found && Object.fromEntries(found.cores);
}

it('stays on its cores, and takes the rest as the reference does', () => {
  // The reference would move to the half of core 1, which fits better.
  expect(plan({ 0: 100, 1: 50 }, { 0: 100 }, 0.5)).toEqual({ 0: 50 });
  expect(plan({ 0: 100, 1: 60, 2: 50, 3: 100 }, { 0: 100 }, 1.5)).toEqual({ 0: 100, 2: 50 });
  expect(plan({ 0: 100, 1: 50, 2: 100 }, { 0: 100, 1: 50 }, 2)).toEqual({ 0: 100, 2: 100 });
  expect(plan({ 0: 100, 1: 100 }, { 1: 100 }, 1.5)).toEqual({ 1: 100, 0: 50 });
});

it('moves what cannot stay', () => {
  expect(plan({ 0: 50, 1: 100, 2: 80 }, { 0: 50 }, 0.75)).toEqual({ 2: 75 });
  expect(plan({ 0: 50, 1: 60 }, { 0: 50 }, 0.75)).toBeUndefined();
});
