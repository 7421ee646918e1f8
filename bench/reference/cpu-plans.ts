// The reference's way to bind cores (reference/scheduling.md section 3.5), step by step as the text has it: every plan of a
// node is built, then counted. It is the yardstick of the benches, for quality and for speed, and shares no code with the
// scheduler. Only what made the original crash or never end is mended, as the text says.

/** Core -> pieces. */
export type Pieces = ReadonlyMap<string, number>;

export interface CpuPlan {
  readonly cores: Pieces;
  /** '' when the plan lies across NUMA nodes, or the node has none. */
  readonly numaNode: string;
}

/** What is free on a node. */
export interface FreeCpu {
  readonly cores: Pieces;
  /** Bytes. */
  readonly memory: number;
  /** Core -> NUMA node; empty without NUMA. */
  readonly numa: ReadonlyMap<string, string>;
  readonly numaMemory: ReadonlyMap<string, number>;
}

export interface CpuDemand {
  /** Cores, with fragments. */
  readonly cpu: number;
  /** Bytes; 0 = none asked. */
  readonly memory: number;
}

export interface ShareRules {
  readonly shareBase: number;
  /** -1 = no limit. */
  readonly maxShare: number;
  /**
   * Plans inside NUMA nodes look only at the memory of their node, and so promise again what others have booked on the machine
   * as a whole. `true` mends that; else two planners are compared of which one gives more than there is.
   */
  readonly mendMemory: boolean;
}

/** What the workload holds now; only for a realloc. */
export interface Origin {
  readonly cores: Pieces;
  readonly numaNode: string;
}

/** Level 1: each NUMA node by itself, then once across all that is left. */
export function cpuPlans(free: FreeCpu, demand: CpuDemand, rules: ShareRules, origin?: Origin): readonly CpuPlan[] {
  const plans: CpuPlan[] = [];
  const cores = new Map(free.cores);
  let memory = free.memory;
  for (const numaNode of numaOrder(free.numa, origin?.numaNode ?? '')) {
    const own = new Map([...cores].filter(([core]) => free.numa.get(core) === numaNode));
    const found = coreSetPlans(own, free.numaMemory.get(numaNode) ?? 0, demand, rules, origin?.cores);
    for (const plan of found) {
      plans.push({ cores: plan, numaNode });
      for (const [core, pieces] of plan) cores.set(core, (cores.get(core) ?? 0) - pieces);
      memory -= demand.memory;
    }
  }
  for (const plan of coreSetPlans(cores, memory, demand, rules, origin?.cores)) {
    plans.push({ cores: plan, numaNode: '' });
  }
  return rules.mendMemory ? asMemoryAllows(plans, free.memory, demand) : plans;
}

export function numaOrder(numa: ReadonlyMap<string, string>, first: string): string[] {
  const nodes = [...new Set(numa.values())].sort();
  return nodes.includes(first) ? [first, ...nodes.filter((node) => node !== first)] : nodes;
}

/** A core and its free pieces. */
type Core = readonly [id: string, pieces: number];

/** Level 2: the plans of one core set. */
export function coreSetPlans(
  free: Pieces,
  memory: number,
  demand: CpuDemand,
  rules: ShareRules,
  origin?: Pieces,
): readonly Pieces[] {
  const { shareBase } = rules;
  const affinity = origin !== undefined && origin.size > 0;

  // Steps 1 and 2.
  let { full, fragment } = classify(free, shareBase);
  if (affinity) {
    const held = classify(origin, shareBase);
    full = heldFirst(full, held.full);
    fragment = heldFirst(fragment, held.fragment);
  }

  // Step 3.
  const pieces = Math.trunc(demand.cpu * shareBase);
  if (pieces === 0) throw new RangeError(`${demand.cpu} cores are less than one piece: invalid cpu`);
  const wholeCores = Math.trunc(pieces / shareBase);
  const rest = pieces % shareBase;

  // Step 4: how many cores may be fragments.
  let limit = full.length + fragment.length - wholeCores;
  if (rules.maxShare !== -1 && rules.maxShare <= limit) limit = rules.maxShare;

  const fullPlans = (cores: readonly Core[]): Pieces[] =>
    affinity ? fullPlansInRounds(cores, wholeCores, shareBase) : fullPlansEvenly(cores, wholeCores, shareBase);

  // Step 5.
  let plans: Pieces[];
  if (rest === 0) plans = fullPlans(full);
  else if (wholeCores === 0) {
    const broken = full.slice(0, Math.max(0, limit - fragment.length));
    plans = fragmentPlans([...fragment, ...broken], rest);
  } else {
    plans = mixedPlans(full, fragment, limit, fullPlans, rest);
  }

  return asMemoryAllows(plans, memory, demand);
}

/** Step 8. */
export function asMemoryAllows<T>(plans: readonly T[], memory: number, demand: CpuDemand): readonly T[] {
  return demand.memory > 0 ? plans.slice(0, Math.max(0, Math.floor(memory / demand.memory))) : plans;
}

/** Step 1. */
export function classify(free: Pieces, shareBase: number): { full: Core[]; fragment: Core[] } {
  const cores = [...free].sort(byPiecesThenId);
  const isFull = ([, pieces]: Core): boolean => pieces >= shareBase && pieces % shareBase === 0;
  return {
    full: cores.filter(isFull),
    fragment: cores.filter((core) => core[1] > 0 && !isFull(core)),
  };
}

/** IDs are compared as text: "10" comes before "2". */
function byPiecesThenId([idA, piecesA]: Core, [idB, piecesB]: Core): number {
  if (piecesA !== piecesB) return piecesA - piecesB;
  return idA < idB ? -1 : 1;
}

/** Step 2. */
function heldFirst(cores: readonly Core[], held: readonly Core[]): Core[] {
  const byId = new Map(cores.map((core) => [core[0], core]));
  const first = held.map(([id]) => byId.get(id)).filter((core) => core !== undefined);
  return [...first, ...cores.filter((core) => !first.includes(core))];
}

/** Step 5, whole cores and a fragment: finds how many whole cores to break up. */
function mixedPlans(
  full: readonly Core[],
  fragment: readonly Core[],
  limit: number,
  fullPlans: (cores: readonly Core[]) => Pieces[],
  rest: number,
): Pieces[] {
  let whole = fullPlans(full);
  let broken = fragment;
  let best = Math.min(whole.length, countFragments(fragment, rest));
  for (let moved = 1; fragment.length + moved <= limit; moved += 1) {
    const wholeNow = fullPlans(full.slice(moved));
    const brokenNow = [...fragment, ...full.slice(0, moved)];
    const count = Math.min(wholeNow.length, countFragments(brokenNow, rest));
    if (count > best) [whole, broken, best] = [wholeNow, brokenNow, count];
  }
  const fragments = fragmentPlans(broken, rest);
  return whole.slice(0, best).map((plan, index) => new Map([...plan, ...(fragments[index] as Pieces)]));
}

function countFragments(cores: readonly Core[], rest: number): number {
  return cores.reduce((sum, [, pieces]) => sum + Math.floor(pieces / rest), 0);
}

/** Step 6 without affinity: always from the cores with most left, so that oversold cores stay even. */
function fullPlansEvenly(list: readonly Core[], wholeCores: number, shareBase: number): Pieces[] {
  const position = new Map(list.map(([id], index) => [id, index]));
  const left = list.toSorted(byPiecesThenId);
  const built: { plan: Pieces; positions: number }[] = [];
  while (left.length >= wholeCores) {
    const taken = left.splice(left.length - wholeCores).reverse();
    built.push({
      plan: new Map(taken.map(([id]) => [id, shareBase])),
      positions: taken.reduce((sum, [id]) => sum + (position.get(id) as number), 0),
    });
    for (const [id, pieces] of taken) if (pieces > shareBase) insert(left, [id, pieces - shareBase]);
  }
  return built.sort((a, b) => a.positions - b.positions).map(({ plan }) => plan);
}

function insert(sorted: Core[], core: Core): void {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (byPiecesThenId(sorted[middle] as Core, core) < 0) low = middle + 1;
    else high = middle;
  }
  sorted.splice(low, 0, core);
}

/** Step 6 with affinity: consecutive groups, round after round, so that the first plan is what the workload holds. */
function fullPlansInRounds(list: readonly Core[], wholeCores: number, shareBase: number): Pieces[] {
  const plans: Pieces[] = [];
  let cores = list;
  while (cores.length >= wholeCores) {
    const grouped = cores.length - (cores.length % wholeCores);
    for (let start = 0; start < grouped; start += wholeCores) {
      plans.push(new Map(cores.slice(start, start + wholeCores).map(([id]) => [id, shareBase])));
    }
    const again = cores.slice(0, grouped).map(([id, pieces]): Core => [id, pieces - shareBase]);
    cores = [...again.filter(([, pieces]) => pieces > 0), ...cores.slice(grouped)];
  }
  return plans;
}

/** Step 7. */
function fragmentPlans(cores: readonly Core[], rest: number): Pieces[] {
  return cores.flatMap(([id, pieces]) =>
    Array.from({ length: Math.floor(pieces / rest) }, () => new Map([[id, rest]])),
  );
}
