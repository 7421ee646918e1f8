import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Measure, ResourceKind } from '../kind.ts';
import { cases, enumerated, faults, nodeOf, seed, type Case } from './cases.suite.ts';
import { cpumem } from './kind.ts';

interface Planned {
  readonly kind: ResourceKind;
  readonly count: number;
  readonly first: (count: number) => JsonObject[];
}

function planned(tested: Case, request: JsonObject = {}): Planned {
  const { shareBase, maxShare, cpu, memoryRequest } = tested;
  const kind: ResourceKind = cpumem({ shareBase, maxShare, maxDeployCount: 10_000 });
  const asked = kind.parse({ 'cpu-bind': true, cpu, 'memory-request': memoryRequest, ...request });
  const state = kind.state(nodeOf(tested));
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  kind.measure(state, asked, measure);
  const { count } = measure;
  if (count === 0) expect(kind.refuse(state, asked)).toMatchObject({ reason: expect.any(String) });
  return { kind, count, first: (count) => kind.allocate(state, asked, count).map(({ resources }) => resources) };
}

const some = fc.nat({ max: 1000 });

describe('counting agrees with enumerating', () => {
  test('without NUMA the plans are the reference’s, from the first to the last', () => {
    fc.assert(
      fc.property(cases(0), some, (tested, some) => {
        const all = enumerated(tested).map(({ cpuMap }) => cpuMap);
        const { count, first } = planned(tested);
        expect(count).toBe(all.length);
        const few = count === 0 ? 0 : some % count;
        for (const wanted of [few, count]) {
          const plans = first(wanted);
          expect(plans.map((plan) => plan['cpu_map'])).toEqual(all.slice(0, wanted));
          expect(faults(tested, plans)).toEqual([]);
        }
      }),
      { seed, numRuns: 2000 },
    );
  });

  test.each([1, 2, 3])('with %i NUMA nodes the counts are the reference’s, the plans valid', (zones) => {
    fc.assert(
      fc.property(cases(zones), some, (tested, some) => {
        const all = enumerated(tested);
        const inside = all.filter(({ numaNode }) => numaNode !== undefined).length;
        const { count, first } = planned(tested);
        expect(count).toBe(all.length);
        const few = count === 0 ? 0 : some % count;
        for (const wanted of [few, count]) {
          const plans = first(wanted);
          expect(faults(tested, plans)).toEqual([]);
          expect(plans.filter((plan) => plan['numa_node'] !== '').length).toBe(Math.min(wanted, inside));
        }
        expect(planned(tested, { numa: 'require' }).count).toBe(inside);
        expect(planned(tested, { numa: 'none' }).count).toBe(enumerated({ ...tested, numa: {} }).length);
      }),
      { seed, numRuns: 1000 },
    );
  });
});

describe('plans', () => {
  test('that are booked and given back leave no trace, and fit as promised', () => {
    fc.assert(
      fc.property(cases(2), some, (tested, some) => {
        const { first, count, kind } = planned(tested);
        const { usage, capacity } = nodeOf(tested).resources;
        const part = { capacity: capacity['cpumem'] ?? {}, usage: usage['cpumem'] ?? {} };
        const plans = first(count === 0 ? 0 : some % (count + 1));
        const booked = { ...part, usage: kind.book(part.usage, plans, []) };
        expect(kind.overruns(booked)).toEqual(kind.overruns(part));
        expect(kind.book(booked.usage, [], plans)).toEqual(part.usage);
      }),
      { seed, numRuns: 500 },
    );
  });

  test('do not depend on the order in which cores are written', () => {
    const shuffled = cases(2).chain((tested) =>
      fc.tuple(
        fc.constant(tested),
        fc.shuffledSubarray(Object.keys(tested.free), { minLength: Object.keys(tested.free).length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, ([tested, order]) => {
        // Names that look like numbers would be put in order by the language itself.
        const rename = (record: Readonly<Record<string, unknown>>, names: readonly string[]): object =>
          Object.fromEntries(names.map((name) => [`c${name}`, record[name]]));
        const renamed = (names: readonly string[]): Case =>
          ({ ...tested, free: rename(tested.free, names), numa: rename(tested.numa, names) }) as Case;
        const [one, other] = [planned(renamed(Object.keys(tested.free))), planned(renamed(order))];
        expect(other.count).toBe(one.count);
        expect(other.first(Math.min(3, other.count))).toEqual(one.first(Math.min(3, one.count)));
      }),
      { seed, numRuns: 500 },
    );
  });

  test('of nodes of equal fingerprint are equal, and the fingerprint tells nodes apart', () => {
    const print = (tested: Case): string => {
      const kind = cpumem({ ...tested, maxDeployCount: 10_000 });
      return kind.fingerprint?.(kind.state(nodeOf(tested))) ?? '';
    };
    fc.assert(
      fc.property(cases(2), fc.integer({ min: 1, max: 3 }), (tested, less) => {
        expect(print(tested)).toBe(print(structuredClone(tested)));
        const [[core, pieces]] = Object.entries(tested.free) as [[string, number]];
        if (pieces >= less)
          expect(print({ ...tested, free: { ...tested.free, [core]: pieces - less } })).not.toBe(print(tested));
        expect(print({ ...tested, memory: tested.memory - less })).not.toBe(print(tested));
      }),
      { seed, numRuns: 200 },
    );
  });
});

describe('odd nodes', () => {
  const odd = (free: Record<string, number>, cpu: number, shareBase = 100): number =>
    planned({ shareBase, maxShare: -1, free, memory: 0, numa: {}, numaMemory: {}, cpu, memoryRequest: 0 }).count;

  test.each([
    ['pieces beyond the limit of a core count as the most whole cores within it', odd({ 0: 2 ** 40 }, 1), 5242],
    ['a core that is used more than it has gives nothing', odd({ 0: -100, 1: 100 }, 1), 1],
    ['one piece to a core: no fragments', odd({ 0: 3, 1: 1 }, 2, 1), 1],
    ['a core sold three times serves three, but never one instance twice', odd({ 0: 300 }, 2), 0],
    ['a request larger than the node', odd({ 0: 100 }, 1e9), 0],
    ['a node without cores', odd({}, 1), 0],
  ])('%s', (_rule, count, expected) => {
    expect(count).toBe(expected);
  });
});
