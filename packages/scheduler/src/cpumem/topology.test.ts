import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Fleet } from '../fleet/fleet.ts';
import type { NodeResources } from '../model.ts';
import { createScheduler } from '../scheduler.ts';
import { cases, faults, nodeOf, seed } from './cases.suite.ts';
import { cpumem } from './kind.ts';
import { gather } from './topology.ts';

const scheduler = createScheduler({ kinds: [cpumem] });
const machine = { cpus: 8, memory: 1000, storage: 0, resources: {} };

/** Eight cores: two sockets, an L3 each, two siblings to a physical core (0 and 1, 2 and 3, …). */
const topology = {
  'smt-cpu': ['0,1', '2,3', '4,5', '6,7'],
  'l3-cpu': ['0,1,2,3', '4,5,6,7'],
  'socket-cpu': ['0,1,2,3', '4,5,6,7'],
};

function node(request: JsonObject = {}, taken: Readonly<Record<string, number>> = {}): NodeResources {
  const empty = scheduler.addNode({ cpumem: { cpu: 8, ...topology, ...request } }, machine);
  return scheduler.book(empty, [{ cpumem: { cpu_map: taken } }], []);
}

/** Cores of each instance. */
function cores(resources: NodeResources, cpu: number, count = 1, request: JsonObject = {}): string[] {
  const fleet = new Fleet(scheduler);
  fleet.set({ name: 'n', labels: {}, resources });
  const asked = { cpumem: { cpu, 'cpu-bind': true, ...request } };
  const strategy = { strategy: 'AUTO', count, nodesLimit: 0, counts: new Map<string, number>() } as const;
  const plan = scheduler.plan(fleet, { resources: asked, candidates: ['n'], ...strategy });
  if (!plan.ok) return [plan.message];
  return plan.instances.map(({ resources }) =>
    Object.keys((resources['cpumem'] as JsonObject)['cpu_map'] as object).join(),
  );
}

describe('with a topology', () => {
  test.each([
    ['two cores are siblings', { 1: 100 }, 2, 1, ['2,3']],
    ['one core is the sibling of one in use', { 4: 100 }, 1, 1, ['5']],
    ['one core of an idle node is one of the first L3', {}, 1, 1, ['0']],
    ['four cores share an L3', { 0: 100 }, 4, 1, ['4,5,6,7']],
    ['the fuller L3 is taken where it is large enough', { 4: 100, 5: 100 }, 2, 1, ['6,7']],
    ['more than an L3 has takes all of it and siblings of the next', {}, 6, 1, ['0,1,2,3,4,5']],
    ['three cores are a pair and the half of one', {}, 3, 1, ['0,1,2']],
    ['each instance is looked for on what the one before left', {}, 2, 4, ['0,1', '2,3', '4,5', '6,7']],
    ['a fragment goes on the rest that fits best', { 1: 60, 7: 30 }, 0.4, 1, ['1']],
    ['a fragment breaks the sibling of a core in use', { 6: 100 }, 0.5, 2, ['7', '7']],
    ['a mixed share breaks a core that is half in use already', { 2: 100 }, 2.5, 1, ['0,1,3']],
  ])('%s', (_rule, taken, cpu, count, expected) => {
    expect(cores(node({}, taken), cpu, count)).toEqual(expected);
  });

  test('reserved cores are never given: bound, shared or counted', () => {
    const reserving = node({ 'reserved-cpu': '0,1' });
    expect(cores(reserving, 6)).toEqual(['2,3,4,5,6,7']);
    expect(cores(reserving, 7)).toEqual([expect.stringContaining('available: 0')]);
    expect(cores(reserving, 7, 1, { 'cpu-bind': false })).toEqual([expect.stringContaining('available: 0')]);
    const shared = scheduler.remap(reserving, new Map([['w', { cpumem: { cpu_limit: 1 } }]]));
    expect(Object.keys(shared.get('w')?.['cpumem']?.['cpu_map'] as object)).toEqual(['2', '3', '4', '5', '6', '7']);
  });

  test('a workload that grows stays close to its cores', () => {
    const current = { cpumem: { cpu_request: 1, cpu_limit: 1, cpu_map: { 6: 100 } } };
    const grown = scheduler.realloc(
      { name: 'n', labels: {}, resources: scheduler.book(node(), [current], []) },
      current,
      { cpumem: { 'keep-cpu-bind': true, cpu: 2 } },
    );
    expect(grown).toMatchObject({ resources: { cpumem: { cpu_map: { 4: 100, 6: 100, 7: 100 } } } });
  });

  test('is kept by a change of the node, and follows its cores', () => {
    const smaller = scheduler.setCapacity(node({ 'reserved-cpu': '0,7' }), { cpumem: { cpu: 4 } }, { delta: false });
    expect(smaller.capacity['cpumem']).toMatchObject({
      smt: { 0: '0', 1: '0', 2: '1', 3: '1' },
      l3: { 0: '0', 1: '0', 2: '0', 3: '0' },
      reserved: ['0'],
    });
    const none = scheduler.setCapacity(smaller, { cpumem: { 'reserved-cpu': '' } }, { delta: false });
    expect(none.capacity['cpumem']).not.toHaveProperty('reserved');
  });

  test.each([
    [{ 'reserved-cpu': '9' }, 'reserved-cpu'],
    [{ 'reserved-cpu': 'x' }, 'reserved-cpu'],
    [{ 'l3-cpu': ['0,8'] }, 'l3-cpu'],
  ])('%j is refused', (request, field) => {
    expect(() => node(request)).toThrow(new RegExp(`^cpumem ${field}: .* is not allowed; .*: invalid `));
  });

  test('as many fit as without, and none is over', () => {
    const groups = fc.array(fc.nat({ max: 3 }), { minLength: 10, maxLength: 10 });
    fc.assert(
      fc.property(cases(2), groups, groups, fc.nat(), (tested, smt, l3, some) => {
        const { shareBase, maxShare, cpu, memoryRequest } = tested;
        const kind = cpumem({ shareBase, maxShare, maxDeployCount: 10_000 });
        const plain = nodeOf(tested);
        const name = (groups: readonly number[]): Record<string, string> =>
          Object.fromEntries(Object.keys(tested.free).map((core, index) => [core, String(groups[index])]));
        const capacity = { cpumem: { ...plain.resources.capacity['cpumem'], smt: name(smt), l3: name(l3) } };
        const request = kind.parse({ cpu, 'memory-request': memoryRequest, 'cpu-bind': true });
        const known = kind.state({ ...plain, resources: { ...plain.resources, capacity } });
        const count = (state: typeof known): number => {
          const measure = { count: 0, usage: 0, rate: 0, weight: 0 };
          kind.measure(state, request, measure);
          return measure.count;
        };
        const most = count(known);
        expect(most).toBe(count(kind.state(plain)));
        for (const wanted of [most, most === 0 ? 0 : some % most]) {
          const plans = kind.allocate(known, request, wanted).map(({ resources }) => resources);
          expect(plans.length).toBe(wanted);
          expect(faults(tested, plans)).toEqual([]);
        }
      }),
      { seed, numRuns: 1000 },
    );
  });
});

test('gathering takes what was asked for, once each', () => {
  const levels = [4, 8, 16].map((size) => fc.array(fc.nat({ max: 16 / size }), { minLength: 16, maxLength: 16 }));
  fc.assert(
    fc.property(
      fc.shuffledSubarray([...Array.from({ length: 16 }).keys()]),
      fc.nat({ max: 16 }),
      fc.tuple(...levels),
      (cores, need, levels) => {
        const taken = gather(
          cores,
          need,
          levels.map((level) => Int32Array.from(level)),
        );
        expect(new Set(taken).size).toBe(Math.min(need, cores.length));
        expect(taken.filter((core) => !cores.includes(core))).toEqual([]);
      },
    ),
    { seed, numRuns: 500 },
  );
});
