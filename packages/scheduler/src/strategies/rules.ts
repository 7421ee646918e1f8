import type { Order } from '../field/field.ts';
import { auto, fewestFirst } from './auto.ts';
import { drained, smallestFirst } from './drained.ts';
import { each, roomiestFirst } from './each.ts';
import { fill, fullestFirst } from './fill.ts';
import { global, leastUsedFirst } from './global.ts';
import type { SpreadRule } from './spread.ts';

export interface StrategyRule {
  readonly spread: SpreadRule;
  /** In which it looks at the nodes. */
  readonly order: Order;
  /** About how many nodes it has to look at or takes from, one at a time; 0 where it takes all of a node at a time. */
  takes(request: { readonly count: number; readonly nodesLimit: number }, open: number): number;
}

const none: StrategyRule['takes'] = () => 0;
const instances: StrategyRule['takes'] = ({ count }) => count;
const nodes: StrategyRule['takes'] = ({ nodesLimit }, open) => nodesLimit || open;

/** DUMMY is absent: it asks for capacity and deploys nothing. */
const rules: Readonly<Record<string, StrategyRule>> = {
  AUTO: { spread: auto, order: fewestFirst, takes: instances },
  FILL: { spread: fill, order: fullestFirst, takes: nodes },
  EACH: { spread: each, order: roomiestFirst, takes: nodes },
  GLOBAL: { spread: global, order: leastUsedFirst, takes: instances },
  DRAINED: { spread: drained, order: smallestFirst, takes: none },
};

export function ruleOf(strategy: string): StrategyRule | undefined {
  return Object.hasOwn(rules, strategy) ? rules[strategy] : undefined;
}
