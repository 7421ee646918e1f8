import { builtinKinds, createScheduler, explain, Fleet, type NodeResources, type Resources } from '@eru/scheduler';
import { expect, test } from 'vitest';
import { defineKind } from './amounts-kind.ts';

const bandwidth = defineKind({
  name: 'bandwidth',
  amounts: { mbps: { help: 'megabits per second', default: 1000 }, burst: {} },
});
const scheduler = createScheduler({ kinds: [...builtinKinds(), bandwidth] });
const machine = { cpus: 8, memory: 2 ** 33, storage: 0, resources: {} };

function fleetOf(nodes: Readonly<Record<string, NodeResources>>): Fleet {
  const fleet = new Fleet(scheduler);
  for (const [name, resources] of Object.entries(nodes)) fleet.set({ name, labels: {}, resources });
  return fleet;
}

const capacity = (nodes: Readonly<Record<string, NodeResources>>, resources: Resources) =>
  scheduler.capacity(fleetOf(nodes), { resources, candidates: Object.keys(nodes) });

test('a kind of amounts plans beside the built-in ones, and says why not', () => {
  const small = scheduler.addNode(undefined, machine);
  const large = scheduler.addNode({ bandwidth: { mbps: '10K' } }, machine);
  const busy = scheduler.book(small, [{ bandwidth: { mbps: 800 } }], []);
  const request = { cpumem: { memory: '2G' }, bandwidth: { mbps: 300 } };
  const { capacity: found, refused } = capacity({ small, large, busy }, request);
  expect(found).toEqual({
    total: 6,
    nodes: [
      { node: 'large', count: 3 },
      { node: 'small', count: 3 },
    ],
  });
  expect(refused).toEqual([
    { node: 'busy', kind: 'bandwidth', reason: 'free bandwidth mbps', needed: 300, free: 200, unit: 'number' },
  ]);
  expect(explain(refused)).toEqual(['busy: free bandwidth mbps 200 < 300']);
  expect(capacity({ busy }, {}).capacity.nodes).toEqual([{ node: 'busy', count: Infinity }]);
  expect(scheduler.fits(scheduler.book(busy, [request], []))).toEqual(['bandwidth mbps: 1100 used of 1000']);
});

test('fractions add up without dust', () => {
  const node = scheduler.addNode({ bandwidth: { mbps: 0.3 } }, machine);
  const tenth = { bandwidth: { mbps: 0.1 } };
  expect(capacity({ node }, tenth).capacity.total).toBe(3);
  const full = scheduler.book(node, [tenth, tenth, tenth], []);
  expect(scheduler.fits(full)).toEqual([]);
  expect(capacity({ node: full }, tenth).capacity.total).toBe(0);
  expect(scheduler.book(full, [], [tenth, tenth, tenth])).toEqual(node);
});

test('a workload may always shrink, and grow as far as there is room', () => {
  const held = { bandwidth: { mbps: 600 } };
  const node = scheduler.book(scheduler.addNode(undefined, machine), [held, { bandwidth: { mbps: 300 } }], []);
  const shrunk = scheduler.setCapacity(node, { bandwidth: { mbps: 500 } }, { delta: false });
  const realloc = (resources: NodeResources, mbps: number) =>
    scheduler.realloc({ name: 'n', labels: {}, resources }, held, { bandwidth: { mbps } });
  expect(realloc(node, 100)).toMatchObject({ ok: true, resources: { bandwidth: { mbps: 700 } } });
  expect(realloc(node, 101)).toMatchObject({ ok: false, refusal: { needed: 701, free: 700 } });
  expect(realloc(shrunk, -100)).toMatchObject({ ok: true, engineParams: { bandwidth: { mbps: 500 } } });
  expect(() => realloc(node, -601)).toThrow('bandwidth.mbps: -1 is not allowed; write a number of at least 0');
});

test.each([
  [{ mbpss: 1 }, 'bandwidth.mbpss: unknown; did you mean mbps?'],
  [{ latency: 1 }, 'bandwidth.latency: unknown; there are mbps, burst'],
  [{ mbps: -1 }, 'bandwidth.mbps: -1 is not allowed'],
  [{ mbps: 'fast' }, 'bandwidth.mbps: "fast" is not allowed'],
  [{ mbps: true }, 'bandwidth.mbps: true is not allowed'],
])('%j is refused', (request, message) => {
  expect(() => scheduler.validate({ bandwidth: request })).toThrow(message);
});
