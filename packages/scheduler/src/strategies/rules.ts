import { auto } from './auto.ts';
import { drained } from './drained.ts';
import { each } from './each.ts';
import { fill } from './fill.ts';
import { global } from './global.ts';
import type { SpreadRule } from './spread.ts';

/** DUMMY is absent: it asks for capacity and deploys nothing. */
const rules: Readonly<Record<string, SpreadRule>> = {
  AUTO: auto,
  FILL: fill,
  EACH: each,
  GLOBAL: global,
  DRAINED: drained,
};

export function spreadRule(strategy: string): SpreadRule | undefined {
  return Object.hasOwn(rules, strategy) ? rules[strategy] : undefined;
}
