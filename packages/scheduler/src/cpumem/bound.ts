import type { Amounts } from '../amounts.ts';
import type { Allotment, Lack, Measure, Settings } from '../kind.ts';
import { share as shareOf } from '../lenient.ts';
import { formatBooking } from './booking.ts';
import { everyCore, piecesOf, type Range } from './free-cores.ts';
import { classify, makePlans, type Plan } from './plans.ts';
import type { BoundRequest, CpuMemoryRequest } from './request.ts';
import { subtract, type RoomCounter } from './room.ts';
import { openable } from './split.ts';
import { spreadOverZones } from './spread-zones.ts';
import { freeCores, zoneRanges, type NodeState } from './state.ts';

// Workloads with cores of their own (section 3.3 "bound", 3.4, 3.5).

export function measureBound(state: NodeState, request: BoundRequest, rooms: RoomCounter, measure: Measure): void {
  const { usable } = state.layout;
  measure.count = rooms.total(state, request);
  measure.usage = shareOf(state.cpuUsed, usable);
  measure.rate = shareOf(request.cpuRequest, usable);
  measure.weight = 100;
}

/** What each of `count` instances gets: those within a NUMA node first, by its name, then those across. */
export function allocateBound(
  state: NodeState,
  request: BoundRequest,
  count: number,
  rooms: RoomCounter,
  settings: Settings,
): readonly Allotment[] {
  const { layout } = state;
  const { share } = request;
  const free = freeCores(state);
  const ranges = zoneRanges(layout, free);
  const inZones: number[] = [];
  rooms.count(state, request, inZones);
  const fit = inZones.reduce((sum, room) => sum + room, 0);
  // All of them are needed: then it is the reference's plans that leave what has been counted across.
  const shares = count < fit ? spreadOverZones(free, ranges, inZones, share, count, settings) : inZones;

  const left = free.slice();
  const allotments: Allotment[] = [];
  for (const [zone, instances] of shares.entries()) {
    const plans = makePlans(free, ranges[zone] as Range, share, instances, layout.levels, settings);
    subtract(left, plans, share, settings);
    allotments.push(...allotAll(state, request, plans, layout.zones[zone] as string, settings));
  }
  const across = makePlans(left.sort(), everyCore(left), share, count - allotments.length, layout.levels, settings);
  return [...allotments, ...allotAll(state, request, across, '', settings)];
}

function allotAll(
  state: NodeState,
  request: BoundRequest,
  plans: readonly Plan[],
  zone: string,
  settings: Settings,
): Allotment[] {
  const allotments: Allotment[] = [];
  for (const [index, plan] of plans.entries()) {
    const before = plans[index - 1];
    // A hundred fragments of one core are alike and share what is written of them.
    const alike = plan.whole.length === 0 && before?.fragment === plan.fragment;
    allotments.push(alike ? (allotments.at(-1) as Allotment) : allotPlan(state, request, plan, zone, settings));
  }
  return allotments;
}

/** `zone`: name of the NUMA node that the plan is inside of, or empty. */
export function allotPlan(
  { layout }: NodeState,
  request: BoundRequest,
  { whole, fragment }: Plan,
  zone: string,
  { shareBase }: Settings,
): Allotment {
  const cpuMap: Record<string, number> = {};
  for (const core of whole) cpuMap[layout.names[core] as string] = shareBase;
  if (fragment >= 0) cpuMap[layout.names[fragment] as string] = request.share.fragment;
  return allotCores(request, cpuMap, zone);
}

export function allotCores(request: CpuMemoryRequest, cpuMap: Amounts, zone: string): Allotment {
  const numaMemory = zone === '' ? {} : { [zone]: request.memoryRequest };
  return {
    resources: formatBooking({ ...request, cpuMap, numaMemory, numaNode: zone }),
    engineParams: {
      cpu: request.cpuLimit,
      cpu_map: cpuMap,
      numa_node: zone,
      memory: request.memoryLimit,
      remap: false,
    },
  };
}

/** The binding constraint where not even one fits: cores before memory. */
export function refuseBound(state: NodeState, request: BoundRequest, settings: Settings): Lack {
  const { layout } = state;
  const { numa, memoryRequest } = request;
  const free = freeCores(state);
  const memory = state.memory - state.memoryUsed;
  const anywhere = lackOfCores(free, everyCore(free), request, settings);
  if (numa !== 'require' || layout.zones.length === 0 || anywhere !== undefined || memory < memoryRequest)
    return anywhere ?? lackOfMemory(memory, memoryRequest);

  const ranges = zoneRanges(layout, free);
  const lacks = state.zoneMemory.map(
    (memory, zone) =>
      lackOfCores(free, ranges[zone] as Range, request, settings) ?? lackOfMemory(memory, memoryRequest),
  );
  // The NUMA node that is nearest to holding it: one that only lacks memory, else the one that misses by the least.
  const nearness = ({ unit, needed, free }: Lack): number => (unit === 'bytes' ? 1 : 0) + free / needed;
  const nearest = lacks.reduce((best, lack) => (nearness(lack) > nearness(best) ? lack : best));
  return { ...nearest, reason: `${nearest.reason} in one NUMA node` };
}

function lackOfCores(cores: Int32Array, range: Range, { share }: BoundRequest, settings: Settings): Lack | undefined {
  const { wholeCores, fragmentCores } = classify(cores, range, settings);
  if (wholeCores.length < share.whole)
    return { reason: 'free whole cores', needed: share.whole, free: wholeCores.length, unit: 'number' };
  if (share.fragment === 0) return undefined;
  const mayOpen = openable(wholeCores.length, fragmentCores.length, share.whole, settings.maxShare) > 0;
  const open = mayOpen ? [...fragmentCores, ...wholeCores] : fragmentCores;
  const most = open.reduce((most, core) => Math.max(most, piecesOf(core)), 0);
  if (most >= share.fragment) return undefined;
  const besides = share.whole > 0 ? ` besides ${share.whole} whole` : '';
  const closed = !mayOpen && wholeCores.length > share.whole ? ` (max share ${settings.maxShare})` : '';
  return { reason: `free pieces of a core${besides}${closed}`, needed: share.fragment, free: most, unit: 'number' };
}

function lackOfMemory(free: number, needed: number): Lack {
  return { reason: 'free memory', needed, free, unit: 'bytes' };
}
