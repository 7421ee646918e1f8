import type { JsonObject } from '@eru/kit';
import * as fc from 'fast-check';
import type { PlannedNode } from '../model.ts';
import { enumerate, type EnumeratedPlan } from './enumerator.suite.ts';

// Small nodes and requests for property tests, and what makes plans wrong.

/** A small node and a request, as the enumerator and as the planner read them. */
export interface Case {
  readonly shareBase: number;
  readonly maxShare: number;
  readonly free: Readonly<Record<string, number>>;
  readonly memory: number;
  readonly numa: Readonly<Record<string, string>>;
  readonly numaMemory: Readonly<Record<string, number>>;
  readonly cpu: number;
  readonly memoryRequest: number;
}

export const seed = 20_264;

/** Free pieces in hundredths of a core: whole, broken, oversold, used up, overused. */
const hundredths = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(100, 100, 100, 200, 300) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 99 }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -20, 150, 230) },
);

export function cases(zones: number): fc.Arbitrary<Case> {
  const coreNames = fc.uniqueArray(fc.constantFrom('0', '1', '2', '3', '4', '5', '10', '11', 'a', 'b'), {
    minLength: 1,
  });
  return fc
    .record({
      shareBase: fc.constantFrom(1, 10, 100, 100, 100, 1000),
      maxShare: fc.constantFrom(-1, -1, -1, 0, 1, 2, 5),
      names: coreNames,
      pieces: fc.array(hundredths, { minLength: 10, maxLength: 10 }),
      zoneOf: fc.array(fc.nat({ max: Math.max(0, zones - 1) }), { minLength: 10, maxLength: 10 }),
      zoneMemory: fc.array(fc.integer({ min: -10, max: 100 }), { minLength: zones, maxLength: zones }),
      memory: fc.integer({ min: -10, max: 200 }),
      pieceCount: fc.oneof(fc.integer({ min: 5, max: 320 }), fc.constantFrom(1, 50, 100, 130, 200)),
      memoryRequest: fc.constantFrom(0, 0, 7, 30),
    })
    .map(({ shareBase, maxShare, names, pieces, zoneOf, zoneMemory, memory, pieceCount, memoryRequest }) => ({
      shareBase,
      maxShare,
      free: record(names, (index) => Math.round(((pieces[index] ?? 0) * shareBase) / 100)),
      memory,
      numa: zones === 0 ? {} : record(names, (index) => String(zoneOf[index])),
      numaMemory: Object.fromEntries(zoneMemory.map((bytes, zone) => [zone, bytes])),
      cpu: Math.ceil((pieceCount * shareBase) / 100) / shareBase,
      memoryRequest,
    }));
}

function record<T>(names: readonly string[], value: (index: number) => T): Record<string, T> {
  return Object.fromEntries(names.map((name, index) => [name, value(index)]));
}

/**
 * One departure from the text: it does not look at the node's memory as a whole for plans inside NUMA nodes. We never
 * promise more than there is.
 */
export function enumerated(tested: Case): EnumeratedPlan[] {
  const { free, memory, numa, numaMemory, cpu, memoryRequest, shareBase, maxShare } = tested;
  const plans = enumerate({ free, memory, numa, numaMemory }, { cpu, memory: memoryRequest, shareBase, maxShare });
  return memoryRequest === 0 ? plans : plans.slice(0, Math.max(0, Math.floor(memory / memoryRequest)));
}

/** Everything that is not free is used; memory starts at 1000. */
export function nodeOf({ free, memory, numa, numaMemory, shareBase }: Case): PlannedNode {
  const cores = Object.keys(free);
  const capacity = record(cores, (index) => Math.max(shareBase, free[cores[index] as string] as number));
  const used = record(cores, (index) => {
    const core = cores[index] as string;
    return (capacity[core] as number) - (free[core] as number);
  });
  const zones = Object.keys(numaMemory);
  const stored = { cpu: cores.length, cpu_map: capacity, memory: 1000, numa, numa_memory: record(zones, () => 1000) };
  const zoneUsed = record(zones, (index) => 1000 - (numaMemory[zones[index] as string] as number));
  const usage = { cpu: 0, cpu_map: used, memory: 1000 - memory, numa, numa_memory: zoneUsed };
  return { name: 'n', labels: {}, resources: { capacity: { cpumem: stored }, usage: { cpumem: usage } } };
}

/** What is wrong with these plans: each has its cores, and together they take no more than is free. */
export function faults(tested: Case, plans: readonly JsonObject[]): string[] {
  const { shareBase, cpu, free, memory, numa, numaMemory, memoryRequest } = tested;
  const pieces = Math.trunc(cpu * shareBase);
  const wanted = [
    ...Array.from<number>({ length: Math.floor(pieces / shareBase) }).fill(shareBase),
    pieces % shareBase,
  ];
  const found: string[] = [];
  const taken: Record<string, number> = {};
  const zoneTaken: Record<string, number> = {};
  for (const { cpu_map: cpuMap, numa_node: zone, numa_memory: zoneMemory } of plans) {
    const map = cpuMap as Record<string, number>;
    const amounts = Object.values(map).sort((a, b) => b - a);
    if (amounts.join() !== wanted.filter((amount) => amount > 0).join()) found.push(`takes ${amounts.join()}`);
    for (const [core, amount] of Object.entries(map)) taken[core] = (taken[core] ?? 0) + amount;
    if (typeof zone !== 'string' || zone === '') continue;
    if (Object.keys(map).some((core) => numa[core] !== zone)) found.push(`is not inside ${zone}`);
    if (JSON.stringify(zoneMemory) !== JSON.stringify({ [zone]: memoryRequest }))
      found.push(`books no memory of ${zone}`);
    zoneTaken[zone] = (zoneTaken[zone] ?? 0) + memoryRequest;
  }
  for (const [core, amount] of Object.entries(taken))
    if (amount > (free[core] ?? 0)) found.push(`core ${core} is over`);
  for (const [zone, amount] of Object.entries(zoneTaken))
    if (amount > 0 && amount > (numaMemory[zone] ?? 0)) found.push(`NUMA node ${zone} is over`);
  if (plans.length > 0 && memoryRequest > 0 && plans.length * memoryRequest > memory) found.push('memory is over');
  return found;
}
