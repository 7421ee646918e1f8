import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { Answers } from '../fleet/answers.ts';
import { ChangeLog } from '../fleet/change-log.ts';
import { Classes } from '../fleet/classes.ts';
import type { Field } from '../field/field.ts';
import { FollowedField } from '../field/followed-field.ts';
import type { Follower, Measure, ResourceKind } from '../kind.ts';
import type { PlannedNode } from '../model.ts';
import { OwnField } from '../field/own-field.ts';
import { atOnce } from '../steps.ts';
import { SurveyedField } from '../field/surveyed-field.ts';
import { ruleOf } from './rules.ts';
import type { Spread } from './spread.ts';

interface Figures {
  readonly capacity: number;
  readonly count?: number;
  readonly usage?: number;
  readonly rate?: number;
}

/** A field of nodes whose answers are given, in name order. */
function fieldOf(nodes: Readonly<Record<string, Figures>>): SurveyedField {
  const names = Object.keys(nodes);
  const kind = {
    name: 'given',
    state: ({ name }: PlannedNode) => nodes[name],
    measure(state: Figures, _request: unknown, measure: Measure) {
      measure.count = state.capacity;
      measure.usage = state.usage ?? 0;
      measure.rate = state.rate ?? 0;
      measure.weight = 1;
    },
  } as ResourceKind<unknown, Figures> as ResourceKind;
  const classes = new Classes(kind);
  const positions = Int32Array.from(names.keys());
  for (const slot of positions)
    classes.set(slot, { name: names[slot] ?? '', labels: {}, resources: { capacity: {}, usage: {} } });
  const answers = [new Answers(kind, undefined, classes)];
  const field = new SurveyedField(
    new ChangeLog(),
    { slots: positions, positions },
    answers,
    new Int32Array(names.length),
  );
  atOnce(field.refresh());
  const counts = new Map(names.map((name) => [name, nodes[name]?.count ?? 0]));
  field.begin(counts, (name) => names.indexOf(name));
  return field;
}

function spreadBy(strategy: string, field: Field, count: number, nodesLimit: number): Spread {
  const rule = ruleOf(strategy);
  if (rule === undefined) throw new Error(`${strategy} has no rule`);
  return atOnce(rule.spread(field, count, nodesLimit));
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

test('GLOBAL: what is equally used is equal, however it came to be so; the name decides', () => {
  const nodes = { a: { usage: 0.1 + 0.2, rate: 0.1, capacity: 1 }, b: { usage: 0.3, rate: 0.1, capacity: 9 } };
  expect(run('GLOBAL', nodes, 1)).toEqual({ a: 1 });
  const filled = { a: { usage: 0.7, rate: 0.1, capacity: 1 }, b: { usage: 0.5, rate: 0.1, capacity: 9 } };
  expect(run('GLOBAL', filled, 3)).toEqual({ a: 1, b: 2 });
});

test('DRAINED fills the smallest node first, of these the most used (6)', () => {
  const nodes = { a: { capacity: 4, usage: 0.2 }, b: { capacity: 7, usage: 0.9 }, c: { capacity: 4, usage: 0.6 } };
  expect(run('DRAINED', nodes, 9)).toEqual({ a: 4, b: 1, c: 4 });
});

test('of nodes that are alike to a strategy the fuller one is taken, then the one with less room for this', () => {
  const empty = { capacity: 3, usage: 0.25, rate: 0.25 };
  const fuller = { ...empty, usage: 0.5 };
  for (const strategy of ['AUTO', 'DRAINED']) expect(run(strategy, { empty, fuller }, 1)).toEqual({ fuller: 1 });
  for (const strategy of ['FILL', 'EACH']) expect(run(strategy, { empty, fuller }, 1, 1)).toEqual({ fuller: 1 });
  const broken = { ...empty, capacity: 1 };
  expect(run('GLOBAL', { empty, broken }, 1)).toEqual({ broken: 1 });
  // Both get one, which makes them equally full.
  expect(run('AUTO', { a: { ...empty, usage: 0.25 }, b: { ...empty, rate: 0.5 } }, 3)).toEqual({ a: 1, b: 2 });
});

test('a node without room takes no part', () => {
  const full = { capacity: 0, count: 9 };
  expect(run('FILL', { a, full }, 4)).toEqual({ a: 1 });
  expect(run('EACH', { a, full }, 1)).toEqual({ a: 1 });
});

test('unlimited nodes share evenly, ties by name', () => {
  const node = { capacity: Infinity };
  expect(run('AUTO', { a: node, b: { ...node, usage: 0.5 } }, 1)).toEqual({ a: 1 });
  expect(run('AUTO', { a: node, b: node, c: node }, 5)).toEqual({ a: 2, b: 2, c: 1 });
  expect(run('DRAINED', { a: node, b: node }, 5)).toEqual({ a: 5 });
});

test('unknown strategies have no rule, and DUMMY is one of them', () => {
  expect(ruleOf('DUMMY')).toBeUndefined();
  expect(ruleOf('toString')).toBeUndefined();
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
const seeded = { seed: 20_261, numRuns: 1_000 };

type Order = (a: number, b: number) => number;

/** The plain meaning of AUTO and GLOBAL: one instance after the other, each on the node that comes first as the plan stands. */
function oneByOne(field: Field, count: number, order: Order, open: (position: number) => boolean): Map<number, number> {
  const shares = new Map<number, number>();
  for (let placed = 0; placed < count; placed += 1) {
    const positions = Array.from({ length: field.size }, (_, position) => position);
    const best = positions
      .filter((position) => field.room(position) >= 1 && open(position))
      .sort((a, b) => field.preference(b) - field.preference(a) || order(a, b) || fullest(field)(a, b) || a - b)[0];
    if (best === undefined) break;
    Array.from(field.take(best, 1));
    shares.set(best, (shares.get(best) ?? 0) + 1);
  }
  return shares;
}

const fewest =
  ({ count, capacity }: Field): Order =>
  (a, b) =>
    at(count, a) - at(count, b) || at(capacity, b) - at(capacity, a) || 0;
const leastUsed =
  ({ usage, rate }: Field): Order =>
  (a, b) =>
    at(usage, a) + at(rate, a) - at(usage, b) - at(rate, b);
/** Of nodes that are alike to a strategy. */
const fullest =
  ({ usage, capacity }: Field): Order =>
  (a, b) =>
    (isFinite(at(capacity, a)) && isFinite(at(capacity, b)) ? at(usage, b) - at(usage, a) : 0) ||
    at(capacity, a) - at(capacity, b) ||
    0;

const smallest =
  ({ capacity, usage }: Field): Order =>
  (a, b) =>
    at(capacity, a) - at(capacity, b) || at(usage, b) - at(usage, a) || 0;

/**
 * A kind that follows the plan, in small: zones may differ by `skew`, a node takes `perNode` more; and a node is liked while
 * it has none of the plan, so that it changes its group when it gets one.
 */
function zonesOf(size: number, zones: number, skew: number, perNode: number): Follower {
  const placed = Array.from({ length: zones }, () => 0);
  const mine = Array.from({ length: size }, () => 0);
  return {
    group: (slot) => (slot % zones) + (at(mine, slot) === 0 ? zones : 0),
    groupRoom: (group) => Math.min(...placed) + skew - at(placed, group % zones),
    preference: (group) => (group >= zones ? 5 : 0),
    room: (slot) => perNode - at(mine, slot),
    refuse: () => ({ reason: 'skew', needed: 1, free: 0, unit: 'number' }),
    place(slot, count) {
      placed[slot % zones] = at(placed, slot % zones) + count;
      mine[slot] = at(mine, slot) + count;
      return { groups: Array.from({ length: 2 * zones }, (_, group) => group), slots: [] };
    },
  };
}

function followedFieldOf(nodes: Readonly<Record<string, Figures>>, follower: (size: number) => Follower): Field {
  const base = fieldOf(nodes);
  const positions = Int32Array.from({ length: base.size }, (_, position) => position);
  const field = new FollowedField(base, { slots: positions, positions }, follower(base.size));
  atOnce(field.look());
  return field;
}

const follower = fc
  .record({
    zones: fc.integer({ min: 1, max: 3 }),
    skew: fc.integer({ min: 1, max: 2 }),
    perNode: fc.integer({ min: 1, max: 4 }),
  })
  .map(
    ({ zones, skew, perNode }) =>
      (size: number) =>
        zonesOf(size, Math.min(zones, size), skew, perNode),
  );

test.each([
  ['AUTO', fewest],
  ['GLOBAL', leastUsed],
  ['DRAINED', smallest],
] as const)(
  '%s in one go is what it is one by one, on a shared field, its own, or one that is followed',
  (strategy, order) => {
    fc.assert(
      fc.property(
        nodes,
        count,
        limit,
        fc.oneof(fc.constantFrom('shared', 'own'), follower),
        (nodes, count, limit, kind) => {
          const fresh = (): Field => {
            if (kind === 'shared') return fieldOf(nodes);
            return kind === 'own' ? new OwnField(fieldOf(nodes)) : followedFieldOf(nodes, kind);
          };
          const plain = fresh();
          const open = (position: number): boolean =>
            strategy !== 'AUTO' || limit === 0 || at(plain.count, position) < limit;
          const expected = oneByOne(plain, count, order(plain), open);
          const spread = spreadBy(strategy, fresh(), count, limit);
          if (sum([...expected.values()]) < count) expect(spread).toHaveProperty('identity', 'resource');
          else expect(sorted(spread)).toEqual(sorted(expected));
        },
      ),
      seeded,
    );
  },
);

test('a plan leaves no trace in the field', () => {
  const strategies = fc.constantFrom('AUTO', 'FILL', 'EACH', 'GLOBAL', 'DRAINED');
  fc.assert(
    fc.property(nodes, fc.array(fc.tuple(strategies, count, limit), { maxLength: 6 }), (nodes, plans) => {
      const kept = fieldOf(nodes);
      for (const [strategy, count, limit] of plans) {
        const spread = spreadBy(strategy, kept, count, limit);
        kept.end();
        expect(sorted(spread)).toEqual(sorted(spreadBy(strategy, fieldOf(nodes), count, limit)));
      }
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
  expect(planned).toBeGreaterThan(100);
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
