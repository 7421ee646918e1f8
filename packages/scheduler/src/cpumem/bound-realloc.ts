import type { Allotment, Lack, Settings } from '../kind.ts';
import { allocateBound, allotCores, allotPlan, refuseBound } from './bound.ts';
import type { Booking } from './booking.ts';
import { coreOf, everyCore, isWhole, pack, piecesOf } from './free-cores.ts';
import { classify, makePlans, type Plan } from './plans.ts';
import type { BoundRequest } from './request.ts';
import type { RoomCounter } from './room.ts';
import type { CoreShare } from './share.ts';
import { openable, splitCores, type Split } from './split.ts';
import { freeCores, type NodeState } from './state.ts';
import { distance, type Levels } from './topology.ts';

/** Pieces that the workload had, by core. */
type Held = ReadonlyMap<number, number>;

/**
 * New cores for a workload that changes in place (section 3.6), on a node to which the old ones have been given back.
 * Nothing moves that need not: what takes the same pieces as before stays on its cores; else its NUMA node comes first,
 * and there as many of its cores as can be kept. What it held it may keep, also on a node that holds too much.
 */
export function reallocBound(
  state: NodeState,
  current: Booking,
  request: BoundRequest,
  rooms: RoomCounter,
  settings: Settings,
): Allotment | Lack {
  const held = heldCores(state, current);
  if (held.size === 0) {
    if (rooms.total(state, request) === 0) return refuseBound(state, request, settings);
    return allocateBound(state, request, 1, rooms, settings)[0] as Allotment;
  }
  const candidates = places(state, current, request, held);
  const same = held.size === Object.keys(current.cpuMap).length && takes(current, request.share, settings);
  const stays = request.numa === 'none' ? '' : current.numaNode;
  if (same && candidates.includes(stays)) return allotCores(request, current.cpuMap, stays);
  for (const zone of candidates) {
    const plan = nearestPlan(coresAt(state, zone, held), request.share, held, state.layout.levels, settings);
    if (plan !== undefined) return allotPlan(state, request, plan, zone, settings);
  }
  return refuseBound(state, request, settings);
}

/** Cores that are still the node's to give. */
function heldCores({ layout }: NodeState, { cpuMap }: Booking): Held {
  const held = new Map<number, number>();
  for (const [core, name] of layout.names.entries()) {
    const pieces = cpuMap[name] ?? 0;
    if (pieces > 0 && layout.reserved[core] === 0) held.set(core, pieces);
  }
  return held;
}

/** Whether these cores are what the share asks for, piece by piece. */
function takes({ cpuMap }: Booking, { whole, fragment }: CoreShare, { shareBase }: Settings): boolean {
  const pieces = Object.values(cpuMap).sort((a, b) => a - b);
  const wanted = [...(fragment > 0 ? [fragment] : []), ...Array.from<number>({ length: whole }).fill(shareBase)];
  return pieces.length === wanted.length && pieces.every((amount, index) => amount === wanted[index]);
}

/**
 * NUMA nodes with memory for it, in the order of preference: its own, that of most of its cores, the others; an empty name is
 * across them.
 */
function places(state: NodeState, current: Booking, request: BoundRequest, held: Held): readonly string[] {
  const { layout, zoneMemory } = state;
  const grows = request.memoryRequest > current.memoryRequest;
  const enough = (free: number, own: boolean): boolean => free >= request.memoryRequest || (own && !grows);
  if (!enough(state.memory - state.memoryUsed, true)) return [];
  const inZone = layout.zones.map(() => 0);
  for (const core of held.keys()) {
    const zone = layout.zoneOf[core] as number;
    if (zone < inZone.length) inZone[zone] = (inZone[zone] as number) + 1;
  }
  const zones = layout.zones
    .map((zone, number) => ({ zone, number, own: zone === current.numaNode, held: inZone[number] as number }))
    .filter(({ number, own }) => request.numa !== 'none' && enough(zoneMemory[number] as number, own))
    .sort((a, b) => Number(b.own) - Number(a.own) || b.held - a.held || a.number - b.number)
    .map(({ zone }) => zone);
  const across = request.numa !== 'require' || layout.zones.length === 0;
  return across ? [...zones, ''] : zones;
}

/** The cores of a NUMA node, or all; ascending. Also those that it held and that others have taken since. */
function coresAt(state: NodeState, zone: string, held: Held): Int32Array {
  const { layout } = state;
  const free = freeCores(state);
  const withLeft = new Set(Array.from(free, coreOf));
  const taken = [...held.keys()].filter((core) => !withLeft.has(core)).map((core) => pack(0, core));
  const isHere = (packed: number): boolean =>
    zone === '' || layout.zones[layout.zoneOf[coreOf(packed)] as number] === zone;
  return Int32Array.from([...free, ...taken].filter(isHere)).sort();
}

/** A core as this workload may use it. */
interface Seat {
  readonly core: number;
  readonly pieces: number;
  readonly held: number;
  readonly whole: boolean;
  readonly fragment: boolean;
  /** To take a fragment of it breaks a core that is whole without the workload. */
  readonly opens: boolean;
  /** Smaller is nearer to what the workload holds. */
  readonly rank: number;
}

/** The plan that keeps most of the cores held. */
function nearestPlan(
  cores: Int32Array,
  share: CoreShare,
  held: Held,
  levels: Levels,
  settings: Settings,
): Plan | undefined {
  const seats = takeSeats(cores, share, held, levels, settings);
  if (!seats.some((seat) => seat.held > 0)) return firstPlan(cores, share, levels, settings);
  const byRank = seats.sort((a, b) => a.rank - b.rank);
  const wholeWithout = (fragment?: Seat): readonly Seat[] =>
    byRank.filter((seat) => seat.whole && seat !== fragment).slice(0, share.whole);
  const kept = (seats: readonly Seat[]): number => seats.filter((seat) => seat.held > 0).length;

  if (share.fragment === 0) {
    const whole = wholeWithout();
    return whole.length < share.whole ? undefined : { whole: whole.map(({ core }) => core), fragment: -1 };
  }
  const plans = byRank
    .filter(({ fragment }) => fragment)
    .map((seat) => ({ seat, whole: wholeWithout(seat) }))
    .filter(({ whole }) => whole.length === share.whole)
    .map((plan) => ({ ...plan, kept: kept([plan.seat, ...plan.whole]) }));
  // Of plans that keep as many: no whole core is broken for the fragment, so that a core on which nobody else is may become a
  // whole one of its own; then it stays where it was; then it fits best.
  const [best] = plans.sort(
    (a, b) =>
      b.kept - a.kept ||
      Number(a.seat.opens) - Number(b.seat.opens) ||
      Number(heldFragment(b.seat, settings)) - Number(heldFragment(a.seat, settings)) ||
      a.seat.pieces - b.seat.pieces,
  );
  return best && { whole: best.whole.map(({ core }) => core), fragment: best.seat.core };
}

function heldFragment({ held }: Pick<Seat, 'held'>, { shareBase }: Settings): boolean {
  return held % shareBase > 0;
}

function takeSeats(cores: Int32Array, share: CoreShare, held: Held, levels: Levels, settings: Settings): Seat[] {
  const { wholeCores, fragmentCores } = classify(cores, everyCore(cores), settings);
  const mayOpen = openable(wholeCores.length, fragmentCores.length, share.whole, settings.maxShare) > 0;
  return Array.from(cores, (packed) => {
    const core = coreOf(packed);
    const mine = held.get(core) ?? 0;
    const pieces = Math.max(piecesOf(packed), mine);
    const whole = isWhole(piecesOf(packed), settings.shareBase);
    const mineIsFragment = heldFragment({ held: mine }, settings);
    return {
      core,
      pieces,
      held: mine,
      whole: whole || mine >= settings.shareBase,
      fragment: pieces >= share.fragment && (!whole || mineIsFragment || mayOpen),
      opens: whole,
      rank: rankOf(core, mine, held, levels, settings),
    };
  });
}

/** Cores that it had whole, then its other ones, then those close to them. */
function rankOf(core: number, mine: number, held: Held, levels: Levels, { shareBase }: Settings): number {
  if (mine >= shareBase) return 0;
  if (mine > 0) return 1;
  let nearest = levels.length;
  for (const other of held.keys()) nearest = Math.min(nearest, distance(core, other, levels));
  return 2 + nearest;
}

function firstPlan(cores: Int32Array, share: CoreShare, levels: Levels, settings: Settings): Plan | undefined {
  const split: Split = { count: 0, opened: 0, slots: 0 };
  splitCores(cores, everyCore(cores), share, settings, split);
  return split.count > 0 ? makePlans(cores, everyCore(cores), share, 1, levels, settings)[0] : undefined;
}
