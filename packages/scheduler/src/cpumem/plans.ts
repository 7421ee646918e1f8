import type { Settings } from '../kind.ts';
import { coreOf, isWhole, pack, piecesOf, type Range } from './free-cores.ts';
import type { CoreShare } from './share.ts';
import { splitCores, type Split } from './split.ts';
import { gather, type Levels } from './topology.ts';

/** The cores of one instance, as positions in the node's list of names. */
export interface Plan {
  readonly whole: readonly number[];
  /** The core that gives the fragment; -1 = none. */
  readonly fragment: number;
}

/** A place for one fragment. */
export interface FragmentSlot {
  readonly core: number;
  /** Free on this core before the fragment is taken. */
  readonly pieces: number;
  /** The core was whole until this fragment. */
  readonly opens: boolean;
}

/**
 * The first `count` plans of a set of cores, which has room for them (section 3.5 steps 5 to 7). Without a topology they are
 * the reference's, in its order; with one, the cores are chosen by what they share, as long as none is oversold (then
 * the number of plans depends on the choice, and the reference's is the one that reaches it).
 */
export function makePlans(
  cores: Int32Array,
  range: Range,
  share: CoreShare,
  count: number,
  levels: Levels,
  settings: Settings,
): readonly Plan[] {
  if (count === 0) return [];
  const split: Split = { count: 0, opened: 0, slots: 0 };
  splitCores(cores, range, share, settings, split);
  const { wholeCores, fragmentCores } = classify(cores, range, settings);
  const even = wholeCores.every((core) => piecesOf(core) === settings.shareBase);
  if (levels.length > 0 && even) return planByTopology(wholeCores, fragmentCores, share, count, levels, settings);

  const whole = share.whole > 0 ? wholeSets(wholeCores.slice(split.opened), share.whole, count, even, settings) : [];
  const open = [...fragmentCores, ...wholeCores.slice(0, split.opened)];
  const fragments = fragmentSlots(open, share, count, settings);
  return Array.from({ length: count }, (_, index) => ({
    whole: whole[index] ?? [],
    fragment: fragments[index]?.core ?? -1,
  }));
}

export interface Classified {
  /** Packed, in the order of the list. */
  readonly wholeCores: readonly number[];
  readonly fragmentCores: readonly number[];
}

export function classify(cores: Int32Array, { from, to }: Range, { shareBase }: Settings): Classified {
  const wholeCores: number[] = [];
  const fragmentCores: number[] = [];
  for (const packed of cores.subarray(from, to)) {
    const pieces = piecesOf(packed);
    if (isWhole(pieces, shareBase)) wholeCores.push(packed);
    else if (pieces > 0) fragmentCores.push(packed);
  }
  return { wholeCores, fragmentCores };
}

/** The first places for fragments on these cores, core after core: the smallest rest that is large enough is used up first. */
export function fragmentSlots(
  open: readonly number[],
  { fragment }: CoreShare,
  count: number,
  { shareBase }: Settings,
): readonly FragmentSlot[] {
  const slots: FragmentSlot[] = [];
  if (fragment === 0) return slots;
  for (const packed of open) {
    const opens = isWhole(piecesOf(packed), shareBase);
    for (let pieces = piecesOf(packed); pieces >= fragment; pieces -= fragment) {
      if (slots.length === count) return slots;
      slots.push({ core: coreOf(packed), pieces, opens: opens && pieces === piecesOf(packed) });
    }
  }
  return slots;
}

/**
 * Sets of `need` cores (step 6): always the cores with most left, later names first, so that oversold cores are used
 * evenly; then in the order of the sum of their positions, so that load stays on cores that are loaded already.
 */
function wholeSets(
  cores: readonly number[],
  need: number,
  count: number,
  even: boolean,
  settings: Settings,
): readonly (readonly number[])[] {
  if (even) {
    // Every core serves once: the sets are neighbours, and the order begins with the last that is built.
    const spare = cores.length % need;
    return Array.from({ length: count }, (_, index) =>
      cores.slice(spare + index * need, spare + (index + 1) * need).map(coreOf),
    );
  }
  const positions = new Map(cores.map((packed, position) => [coreOf(packed), position]));
  const sets: { readonly whole: readonly number[]; readonly sum: number }[] = [];
  // All of them are built, since the last may come first; a bound, for cores that are sold thousands of times.
  const bound = Math.max(count, settings.maxDeployCount);
  let left = cores.map((packed) => pack(piecesOf(packed) / settings.shareBase, coreOf(packed))).sort((a, b) => b - a);
  while (sets.length < bound) {
    const chosen = left.slice(0, need);
    if (chosen.length < need || piecesOf(chosen.at(-1) as number) === 0) break;
    const whole = chosen.map(coreOf);
    sets.push({ whole, sum: whole.reduce((sum, core) => sum + (positions.get(core) as number), 0) });
    left = mergeDescending(
      chosen.map((packed) => packed - pack(1, 0)),
      left.slice(need),
    );
  }
  return sets
    .sort((a, b) => a.sum - b.sum)
    .slice(0, count)
    .map(({ whole }) => whole);
}

/** Two descending lists as one. A round changes few cores, and sorting all of them again would cost most of the time. */
function mergeDescending(one: readonly number[], other: readonly number[]): number[] {
  const merged: number[] = [];
  let next = 0;
  for (const value of one) {
    while (next < other.length && (other[next] as number) > value) {
      merged.push(other[next] as number);
      next += 1;
    }
    merged.push(value);
  }
  while (next < other.length) {
    merged.push(other[next] as number);
    next += 1;
  }
  return merged;
}

/** Fragments on open cores first; whole cores are opened, and taken, so that what shares hardware stays together. */
function planByTopology(
  wholeCores: readonly number[],
  fragmentCores: readonly number[],
  share: CoreShare,
  count: number,
  levels: Levels,
  settings: Settings,
): readonly Plan[] {
  let untouched = wholeCores.map(coreOf);
  const take = (need: number): readonly number[] => {
    const taken = gather(untouched, need, levels);
    untouched = untouched.filter((core) => !taken.includes(core));
    return taken;
  };
  const fragments = fragmentSlots(fragmentCores, share, count, settings).map(({ core }) => core);
  if (share.fragment > 0) {
    const perCore = Math.floor(settings.shareBase / share.fragment);
    while (fragments.length < count)
      fragments.push(...Array.from<number>({ length: perCore }).fill(take(1)[0] as number));
  }
  return Array.from({ length: count }, (_, index) => ({ whole: take(share.whole), fragment: fragments[index] ?? -1 }));
}
