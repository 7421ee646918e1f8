/**
 * Section 3.5 of reference/scheduling.md as it is written, step by step, for tests to hold the planner against: builds every
 * plan, keeps everything in plain records, shares no code with what it checks. Small nodes only.
 */

export interface EnumeratedNode {
  /** Free pieces by core. */
  readonly free: Readonly<Record<string, number>>;
  /** Free bytes. */
  readonly memory: number;
  /** Core -> NUMA node. */
  readonly numa?: Readonly<Record<string, string>>;
  /** Free bytes by NUMA node. */
  readonly numaMemory?: Readonly<Record<string, number>>;
}

export interface EnumeratedRequest {
  readonly cpu: number;
  readonly memory?: number;
  /** The cores of a realloc. */
  readonly origin?: Readonly<Record<string, number>>;
  readonly shareBase?: number;
  readonly maxShare?: number;
}

export interface EnumeratedPlan {
  readonly cpuMap: Readonly<Record<string, number>>;
  /** Absent for a plan across NUMA nodes. */
  readonly numaNode?: string;
}

interface Core {
  readonly id: string;
  readonly pieces: number;
}

type CpuMap = Record<string, number>;

/** Level 1. NUMA nodes in ascending order of their names. */
export function enumerate(node: EnumeratedNode, request: EnumeratedRequest): EnumeratedPlan[] {
  const { memory = 0 } = request;
  const free: CpuMap = { ...node.free };
  let memoryLeft = node.memory;
  const plans: EnumeratedPlan[] = [];
  for (const numaNode of [...new Set(Object.values(node.numa ?? {}))].sort()) {
    const cores = Object.fromEntries(Object.entries(free).filter(([id]) => node.numa?.[id] === numaNode));
    const inside = level2(cores, node.numaMemory?.[numaNode] ?? 0, request);
    for (const cpuMap of inside) {
      plans.push({ cpuMap, numaNode });
      for (const [id, pieces] of Object.entries(cpuMap)) free[id] = (free[id] ?? 0) - pieces;
      memoryLeft -= memory;
    }
  }
  return [...plans, ...level2(free, memoryLeft, request).map((cpuMap) => ({ cpuMap }))];
}

/** Level 2, one core set. */
function level2(free: Readonly<CpuMap>, freeMemory: number, request: EnumeratedRequest): CpuMap[] {
  const { cpu, memory = 0, origin = {}, shareBase = 100, maxShare = -1 } = request;

  // 1. Classify.
  let { full, fragment } = classify(free, shareBase);

  // 2. Affinity.
  const affine = Object.keys(origin).length > 0;
  if (affine) {
    const before = classify(origin, shareBase);
    full = inFront(full, before.full);
    fragment = inFront(fragment, before.fragment);
  }

  // 3. Pieces.
  const pieces = Math.trunc(cpu * shareBase);
  const F = Math.floor(pieces / shareBase);
  const f = pieces % shareBase;
  if (F === 0 && f === 0) throw new Error('invalid cpu');

  // 4. The limit of fragment cores.
  let limit = full.length + fragment.length - F;
  if (maxShare !== -1 && maxShare <= limit) limit = maxShare;

  // 5. Plans.
  const plans = build();

  // 8. Memory.
  return memory > 0 ? plans.slice(0, Math.max(0, Math.floor(freeMemory / memory))) : plans;

  function build(): CpuMap[] {
    if (f === 0) return fullPlans(full, F, shareBase, affine);
    if (F === 0) return fragmentPlans([...fragment, ...full.slice(0, Math.max(0, limit - fragment.length))], f);
    let A = fullPlans(full, F, shareBase, affine);
    let G = fragmentPlans(fragment, f);
    let best = Math.min(A.length, G.length);
    while (fragment.length < limit) {
      const [first, ...rest] = full;
      if (first === undefined) break;
      full = rest;
      fragment = [...fragment, first];
      const fuller = fullPlans(full, F, shareBase, affine);
      const k = Math.min(
        fuller.length,
        fragment.reduce((sum, core) => sum + Math.floor(core.pieces / f), 0),
      );
      if (k > best) {
        A = fuller;
        G = fragmentPlans(fragment, f);
        best = k;
      }
    }
    return Array.from({ length: best }, (_, i) => ({ ...A[i], ...G[i] }));
  }
}

function classify(cores: Readonly<CpuMap>, shareBase: number): { full: Core[]; fragment: Core[] } {
  const sorted = Object.entries(cores)
    .map(([id, pieces]) => ({ id, pieces }))
    .sort((a, b) => a.pieces - b.pieces || (a.id < b.id ? -1 : 1));
  const isFull = ({ pieces }: Core): boolean => pieces >= shareBase && pieces % shareBase === 0;
  return {
    full: sorted.filter(isFull),
    fragment: sorted.filter((core) => !isFull(core) && core.pieces > 0),
  };
}

/** Those that are in `before`, in its order; then the rest. */
function inFront(list: readonly Core[], before: readonly Core[]): Core[] {
  const first = before.map(({ id }) => list.find((core) => core.id === id)).filter((core) => core !== undefined);
  return [...first, ...list.filter((core) => !first.includes(core))];
}

/** 6. Full plans. */
function fullPlans(list: readonly Core[], F: number, shareBase: number, affine: boolean): CpuMap[] {
  return affine ? fullPlansInRounds(list, F, shareBase) : fullPlansFromTheLargest(list, F, shareBase);
}

function fullPlansFromTheLargest(list: readonly Core[], F: number, shareBase: number): CpuMap[] {
  let left = [...list];
  const built: { cpuMap: CpuMap; sum: number }[] = [];
  while (left.length >= F) {
    left.sort((a, b) => b.pieces - a.pieces || (a.id > b.id ? -1 : 1));
    const chosen = left.slice(0, F);
    built.push({
      cpuMap: Object.fromEntries(chosen.map(({ id }) => [id, shareBase])),
      sum: chosen.reduce((sum, { id }) => sum + list.findIndex((core) => core.id === id), 0),
    });
    left = [...chosen.map(({ id, pieces }) => ({ id, pieces: pieces - shareBase })), ...left.slice(F)];
    left = left.filter(({ pieces }) => pieces > 0);
  }
  return built.sort((a, b) => a.sum - b.sum).map(({ cpuMap }) => cpuMap);
}

function fullPlansInRounds(list: readonly Core[], F: number, shareBase: number): CpuMap[] {
  const plans: CpuMap[] = [];
  let cores = [...list];
  while (cores.length >= F) {
    const groups = Math.floor(cores.length / F);
    const next: Core[] = [];
    for (let group = 0; group < groups; group += 1) {
      const chosen = cores.slice(group * F, (group + 1) * F);
      plans.push(Object.fromEntries(chosen.map(({ id }) => [id, shareBase])));
      next.push(...chosen.map(({ id, pieces }) => ({ id, pieces: pieces - shareBase })));
    }
    cores = [...next.filter(({ pieces }) => pieces > 0), ...cores.slice(groups * F)];
  }
  return plans;
}

/** 7. Fragment plans. */
function fragmentPlans(list: readonly Core[], f: number): CpuMap[] {
  return list.flatMap(({ id, pieces }) => Array.from({ length: Math.floor(pieces / f) }, () => ({ [id]: f })));
}
