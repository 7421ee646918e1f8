import type { Settings } from '../kind.ts';
import { unlimited } from '../model.ts';
import { coreOf, countCores, isWhole, maxCores, pack, piecesOf, readCores, type Range } from './free-cores.ts';
import { makePlans, type Plan } from './plans.ts';
import type { BoundRequest } from './request.ts';
import type { CoreShare } from './share.ts';
import { splitCores, type Split } from './split.ts';
import type { NodeState } from './state.ts';

/**
 * How many bound instances a node holds (section 3.5 level 1): as many as each NUMA node holds by itself, then across
 * them, on what is left. Keeps its working arrays, so that a survey of a fleet allocates nothing.
 */
export class RoomCounter {
  readonly #settings: Settings;
  readonly #split: Split = { count: 0, opened: 0, slots: 0 };
  readonly #range = { from: 0, to: 0 };
  readonly #free = new Int32Array(maxCores);
  readonly #left = new Int32Array(maxCores);
  readonly #zones: number[] = [];

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /**
   * So many in all, and never more than the node has memory for. The reference does not look at that for instances inside
   * a NUMA node, and promises the same memory twice where others, unbound or across, have booked it.
   */
  total(state: NodeState, request: BoundRequest): number {
    let total = this.count(state, request, this.#zones);
    for (const count of this.#zones) total += count;
    return Math.min(total, fitting(state.memory - state.memoryUsed, request.memoryRequest));
  }

  /** Writes how many fit into each NUMA node by its own memory, and returns how many more fit across them. */
  count(state: NodeState, request: BoundRequest, zones: number[]): number {
    const { layout } = state;
    const free = this.#free;
    readCores(state.free, free);
    const cores = countCores(state.free);
    const memory = state.memory - state.memoryUsed;
    // Set only when it differs: emptied, the array would be allocated anew for every node.
    const inZones = request.numa === 'none' ? 0 : layout.zones.length;
    if (zones.length !== inZones) zones.length = inZones;
    const range = this.#range;
    if (layout.zones.length === 0) {
      range.from = 0;
      range.to = cores;
      return this.#countIn(free, range, request, memory);
    }

    const left = this.#left;
    readCores(state.free, left);
    let memoryLeft = memory;
    let next = 0;
    for (let zone = 0; zone < inZones; zone += 1) {
      range.from = next;
      while (next < cores && layout.zoneOf[coreOf(free[next] as number)] === zone) next += 1;
      range.to = next;
      const count = this.#countIn(free, range, request, state.zoneMemory[zone] as number);
      zones[zone] = count;
      if (request.numa === 'require') continue;
      spend(left, range, request.share, count, this.#split, this.#settings);
      memoryLeft -= count * request.memoryRequest;
    }
    if (request.numa === 'require') return 0;
    range.from = 0;
    range.to = cores;
    // Order matters only where whole cores differ.
    if (hasOversold(left, range, this.#settings)) left.subarray(0, cores).sort();
    return this.#countIn(left, range, request, memoryLeft);
  }

  #countIn(cores: Int32Array, range: Range, { share, memoryRequest }: BoundRequest, memory: number): number {
    splitCores(cores, range, share, this.#settings, this.#split);
    return Math.min(this.#split.count, fitting(memory, memoryRequest));
  }
}

/** How many of these amounts of memory; a node whose capacity was lowered below its usage has less than nothing free. */
export function fitting(memory: number, each: number): number {
  return each > 0 ? Math.max(0, Math.floor(memory / each)) : unlimited;
}

/** What is left of the cores after the first `count` plans of a split, as far as counting sees it: the names may differ. */
function spend(
  cores: Int32Array,
  range: Range,
  share: CoreShare,
  count: number,
  { opened, slots }: Split,
  settings: Settings,
): void {
  if (count === 0) return;
  const { shareBase } = settings;
  if (share.whole > 0 && widest(cores, range, shareBase) > shareBase) {
    // Which cores are left depends on the order of the plans; oversold nodes with NUMA are rare enough to make them.
    subtract(
      cores.subarray(range.from, range.to),
      makePlans(cores, range, share, count, [], settings),
      share,
      settings,
    );
    return;
  }
  let whole = share.whole * count;
  let fragments = share.fragment > 0 ? Math.min(count, slots) : 0;
  let inOpened = share.fragment > 0 ? count - fragments : 0;
  let seen = 0;
  for (let index = range.from; index < range.to; index += 1) {
    const packed = cores[index] as number;
    const pieces = piecesOf(packed);
    let left = pieces;
    if (!isWhole(pieces, shareBase)) {
      const here = fragments > 0 ? Math.min(fragments, Math.floor(pieces / share.fragment)) : 0;
      left -= here * share.fragment;
      fragments -= here;
    } else if (seen < opened) {
      seen += 1;
      const here = inOpened > 0 ? Math.min(inOpened, Math.floor(pieces / share.fragment)) : 0;
      left -= here * share.fragment;
      inOpened -= here;
    } else if (whole > 0) {
      whole -= 1;
      left = 0;
    }
    if (left !== pieces) cores[index] = pack(left, coreOf(packed));
  }
}

function hasOversold(cores: Int32Array, { from, to }: Range, { shareBase }: Settings): boolean {
  const oversold = pack(shareBase + 1, 0);
  for (let index = from; index < to; index += 1) if ((cores[index] as number) >= oversold) return true;
  return false;
}

/** The largest number of pieces of a whole core. */
function widest(cores: Int32Array, { from, to }: Range, shareBase: number): number {
  for (let index = to - 1; index >= from; index -= 1) {
    const pieces = piecesOf(cores[index] as number);
    if (isWhole(pieces, shareBase)) return pieces;
  }
  return 0;
}

/** Takes what these plans take; the list is not sorted afterwards. */
export function subtract(cores: Int32Array, plans: readonly Plan[], share: CoreShare, { shareBase }: Settings): void {
  const taken = new Map<number, number>();
  const take = (core: number, pieces: number): unknown => taken.set(core, (taken.get(core) ?? 0) + pieces);
  for (const { whole, fragment } of plans) {
    for (const core of whole) take(core, shareBase);
    if (fragment >= 0) take(fragment, share.fragment);
  }
  for (const [index, packed] of cores.entries()) {
    const core = coreOf(packed);
    cores[index] = pack(piecesOf(packed) - (taken.get(core) ?? 0), core);
  }
}
