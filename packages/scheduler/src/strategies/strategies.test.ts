import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Field } from '../field.ts';
import type { ResourceKind } from '../kind.ts';
import { auto } from './auto.ts';
import { spreadRule } from './rules.ts';
import { oneByOne, type Spread } from './spread.ts';

interface Figures {
  readonly capacity: number;
  readonly count?: number;
  readonly usage?: number;
  readonly rate?: number;
}

/** A field of nodes whose answers are given, in name order. */
function fieldOf(nodes: Readonly<Record<string, Figures>>): Field {
  const names = Object.keys(nodes);
  const figures: Pick<ResourceKind<unknown, Figures>, 'measure'> = {
    measure(state, _request, measure) {
      measure.count = state.capacity;
      measure.usage = state.usage ?? 0;
      measure.rate = state.rate ?? 0;
      measure.weight = 1;
    },
  };
  const field = new Field(
    {
      kinds: [figures as ResourceKind],
      classes: [{ stateOf: (slot) => Object.values(nodes)[slot] }],
      versions: new Float64Array(names.length).fill(1),
    },
    Int32Array.from(names.keys()),
    [undefined],
  );
  field.begin(new Map(names.map((name) => [name, nodes[name]?.count ?? 0])), (name) => names.indexOf(name));
  return field;
}

function spreadBy(strategy: string, field: Field, count: number, nodesLimit: number): Spread {
  const rule = spreadRule(strategy);
  if (rule === undefined) throw new Error(`${strategy} has no rule`);
  return rule(field, count, nodesLimit);
}

function run(strategy: string, nodes: Readonly<Record<string, Figures>>, count: number, nodesLimit = 0): unknown {
  const spread = spreadBy(strategy, fieldOf(nodes), count, nodesLimit);
  if ('identity' in spread) return spread.message;
  const names = Object.keys(nodes);
  return Object.fromEntries([...spread].map(([position, share]) => [names[position], share]));
}

const a = { capacity: 5, count: 3 };
const b = { capacity: 2, count: 0 };
const c = { capacity: 9, count: 1 };
const d = { capacity: 1, count: 6 };

// Worked examples of reference/scheduling.md section 6, by their numbers.

test('AUTO levels counts, ties by capacity left (1)', () => {
  expect(run('AUTO', { a, b, c }, 6)).toEqual({ a: 1, b: 2, c: 3 });
});

test('AUTO with a limit counts the workloads that are there (2)', () => {
  expect(run('AUTO', { a, b, c }, 4, 3)).toEqual({ b: 2, c: 2 });
  expect(run('AUTO', { a, b, c }, 5, 3)).toBe(
    'reached nodelimit, a node can host at most 3 instances: cannot alloc a plan, not enough resource',
  );
  expect(run('AUTO', { a, b, c }, 17)).toBe('need: 17, available: 16: cannot alloc a plan, not enough resource');
});

test('FILL tops up the fullest nodes (3)', () => {
  expect(run('FILL', { a, b, c, d }, 4, 2)).toEqual({ a: 1 });
  expect(run('FILL', { a, b, c, d }, 4, 3)).toEqual({ a: 1, c: 3 });
  expect(run('FILL', { a, b, c, d }, 4)).toBe(
    'not enough nodes that can fill up to 4 instances, require 1 nodes: cannot alloc a plan, not enough resource',
  );
  expect(run('FILL', { a, d }, 3)).toBe('cannot alloc a fill node plan, each node has enough workloads');
  expect(run('FILL', { a, d }, 3, 3)).toBe(
    'node len 2 cannot alloc a fill node plan: cannot alloc a plan, not enough resource',
  );
});

test('EACH puts the same on the roomiest nodes (4)', () => {
  expect(run('EACH', { a, b, c, d }, 2, 2)).toEqual({ a: 2, c: 2 });
  expect(run('EACH', { a, b, c, d }, 2)).toBe(
    'not enough nodes with capacity of 2, require 4 nodes: cannot alloc a plan, not enough resource',
  );
  expect(run('EACH', { a, b, c, d }, 10, 1)).toBe(
    'insufficient nodes, at least 1 needed: cannot alloc a plan, not enough nodes capacity',
  );
  expect(run('EACH', { a }, 1, 2)).toBe(
    'node len 1 < limit, cannot alloc an average node plan: cannot alloc a plan, not enough resource',
  );
});

test('GLOBAL levels the usage (5)', () => {
  const nodes = {
    a: { usage: 0.3, rate: 0.2, capacity: 3 },
    b: { usage: 0.55, rate: 0.05, capacity: 10 },
    c: { usage: 0.1, rate: 0.15, capacity: 2 },
  };
  expect(run('GLOBAL', nodes, 5)).toEqual({ a: 1, b: 2, c: 2 });
  expect(run('GLOBAL', nodes, 16)).toBe('need: 16, available: 15: cannot alloc a plan, not enough resource');
});

test('DRAINED fills the smallest node first, of these the most used (6)', () => {
  const nodes = { a: { capacity: 4, usage: 0.2 }, b: { capacity: 7, usage: 0.9 }, c: { capacity: 4, usage: 0.6 } };
  expect(run('DRAINED', nodes, 9)).toEqual({ a: 4, b: 1, c: 4 });
});

test('a node without room takes no part', () => {
  const full = { capacity: 0, count: 9 };
  expect(run('FILL', { a, full }, 4)).toEqual({ a: 1 });
  expect(run('EACH', { a, full }, 1)).toEqual({ a: 1 });
});

test('unlimited nodes share evenly, ties by name', () => {
  const node = { capacity: Infinity };
  expect(run('AUTO', { a: node, b: node, c: node }, 5)).toEqual({ a: 2, b: 2, c: 1 });
  expect(run('DRAINED', { a: node, b: node }, 5)).toEqual({ a: 5 });
});

test('unknown strategies have no rule, and DUMMY is one of them', () => {
  expect(spreadRule('DUMMY')).toBeUndefined();
  expect(spreadRule('toString')).toBeUndefined();
});

const figures = fc.record({
  capacity: fc.oneof(fc.integer({ min: 0, max: 6 }), fc.constant(Infinity)),
  count: fc.integer({ min: 0, max: 6 }),
  // Eighths, so that sums are exact and ties happen.
  usage: fc.integer({ min: 0, max: 8 }).map((eighths) => eighths / 8),
  rate: fc.integer({ min: 0, max: 2 }).map((eighths) => eighths / 8),
});
const nodes = fc
  .array(figures, { minLength: 1, maxLength: 7 })
  .map((list) => Object.fromEntries(list.map((node, index) => [`n${index}`, node])));
const count = fc.integer({ min: 1, max: 20 });
const limit = fc.integer({ min: 0, max: 8 });
const seeded = { seed: 20_261, numRuns: 2_000 };

test('AUTO by level is AUTO one by one', () => {
  fc.assert(
    fc.property(nodes, count, limit, (nodes, count, limit) => {
      const plain = fieldOf(nodes);
      const fewest = (a: number, b: number): boolean => {
        const byCount = at(plain.count, a) - at(plain.count, b);
        const byCapacity = at(plain.capacity, b) - at(plain.capacity, a) || 0;
        return (byCount || byCapacity || a - b) < 0;
      };
      const open = (p: number): boolean => at(plain.capacity, p) >= 1 && (limit === 0 || at(plain.count, p) < limit);
      const expected = oneByOne(plain, count, fewest, open);
      const total = [...expected.values()].reduce((sum, share) => sum + share, 0);
      const spread = auto(fieldOf(nodes), count, limit);
      if (total < count) expect(spread).toHaveProperty('identity', 'resource');
      else expect(sorted(spread)).toEqual(sorted(expected));
    }),
    seeded,
  );
});

test('GLOBAL with a heap is GLOBAL one by one', () => {
  fc.assert(
    fc.property(nodes, count, (nodes, count) => {
      const plain = fieldOf(nodes);
      const next = (p: number): number => at(plain.usage, p) + at(plain.rate, p);
      const expected = oneByOne(
        plain,
        count,
        (a, b) => (next(a) - next(b) || a - b) < 0,
        (p) => at(plain.capacity, p) >= 1,
      );
      const total = [...expected.values()].reduce((sum, share) => sum + share, 0);
      const spread = spreadBy('GLOBAL', fieldOf(nodes), count, 0);
      if (total < count) expect(spread).toHaveProperty('identity', 'resource');
      else expect(sorted(spread)).toEqual(sorted(expected));
    }),
    seeded,
  );
});

/** What each strategy promises of a plan, besides never giving a node more than it has. */
const promises: Readonly<
  Record<string, (shares: number[], nodes: Required<Figures>[], count: number, limit: number) => boolean>
> = {
  AUTO: (shares, nodes, count, limit) =>
    sum(shares) === count &&
    (limit === 0 || nodes.every((node, i) => shares[i] === 0 || node.count + at(shares, i) <= limit)),
  FILL: (shares, nodes, count, limit) => {
    const wanted = limit || nodes.filter(({ capacity }) => capacity >= 1).length;
    const filled = nodes.filter((node, i) => node.capacity >= 1 && node.count + at(shares, i) >= count).length;
    return filled >= wanted && nodes.every((node, i) => shares[i] === 0 || node.count + at(shares, i) === count);
  },
  EACH: (shares, nodes, count, limit) => {
    const wanted = limit || nodes.filter(({ capacity }) => capacity >= 1).length;
    return shares.filter((share) => share === count).length === wanted && sum(shares) === wanted * count;
  },
  GLOBAL: (shares, _nodes, count) => sum(shares) === count,
  // At most one node is begun and not filled, and none of those that were left out is smaller than one that was filled.
  DRAINED: (shares, nodes, count) => {
    const used = nodes.filter((_, i) => at(shares, i) > 0);
    const left = nodes.filter((node, i) => shares[i] === 0 && node.capacity >= 1);
    const partial = nodes.filter((node, i) => at(shares, i) > 0 && at(shares, i) < node.capacity);
    const largest = Math.max(...used.map(({ capacity }) => capacity));
    return sum(shares) === count && partial.length <= 1 && left.every(({ capacity }) => capacity >= largest);
  },
};

test.each(Object.entries(promises))('%s keeps its promises', (strategy, promise) => {
  let planned = 0;
  fc.assert(
    fc.property(nodes, count, limit, (nodes, count, limit) => {
      const spread = spreadBy(strategy, fieldOf(nodes), count, limit);
      if ('identity' in spread) return;
      planned += 1;
      const list = Object.values(nodes);
      const shares = list.map((_, position) => spread.get(position) ?? 0);
      expect(shares.every((share, i) => share <= (list[i]?.capacity ?? 0))).toBe(true);
      expect(promise(shares, list, count, limit)).toBe(true);
    }),
    seeded,
  );
  expect(planned).toBeGreaterThan(200);
});

function at(figures: ArrayLike<number>, position: number): number {
  return figures[position] ?? 0;
}

function sum(shares: readonly number[]): number {
  return shares.reduce((total, share) => total + share, 0);
}

function sorted(spread: Spread): unknown {
  return 'identity' in spread ? spread : [...spread].sort(([a], [b]) => a - b);
}
