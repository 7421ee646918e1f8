import {
  asMemoryAllows,
  classify,
  coreSetPlans,
  numaOrder,
  type CpuDemand,
  type CpuPlan,
  type FreeCpu,
  type Origin,
  type Pieces,
  type ShareRules,
} from './cpu-plans.ts';

// The reference promises nobody that a realloc leaves a workload where it is. Held to that promise, this is what it would do:
// as many of the cores as can stay do stay, and all else is its own choice.

/**
 * The plan for a workload that holds `origin`, given back already. NUMA nodes in the reference's order, then across them.
 * `undefined` where it does not fit.
 */
export function keepingPlan(free: FreeCpu, demand: CpuDemand, rules: ShareRules, origin: Origin): CpuPlan | undefined {
  for (const numaNode of [...numaOrder(free.numa, origin.numaNode), '']) {
    const inNode = numaNode !== '';
    const memory = inNode ? Math.min(free.memory, free.numaMemory.get(numaNode) ?? 0) : free.memory;
    if (asMemoryAllows([0], memory, demand).length === 0) continue;
    const cores = inNode ? new Map([...free.cores].filter(([core]) => free.numa.get(core) === numaNode)) : free.cores;
    const plan = keepMost(cores, demand, rules, origin.cores);
    if (plan !== undefined) return { cores: plan, numaNode };
  }
  return undefined;
}

/** Of the ways to keep cores the one that keeps the most, of these the first; the rest is the reference's first plan. */
function keepMost(free: Pieces, { cpu }: CpuDemand, rules: ShareRules, origin: Pieces): Pieces | undefined {
  const { shareBase } = rules;
  const pieces = Math.trunc(cpu * shareBase);
  const [wholeCores, rest] = [Math.trunc(pieces / shareBase), pieces % shareBase];
  const now = classify(free, shareBase);
  const isFull = new Set(now.full.map(([core]) => core));
  const held = classify(origin, shareBase);
  const full = [...held.full, ...held.fragment].map(([core]) => core).filter((core) => isFull.has(core));

  let best: { readonly plan: Pieces; readonly kept: number } | undefined;
  for (const fragment of rest === 0 ? [undefined] : fragmentsKept(free, rest, rules, wholeCores, held, now)) {
    const kept = new Map(fragment === undefined ? [] : [[fragment, rest]]);
    for (const core of full.filter((core) => core !== fragment).slice(0, wholeCores)) kept.set(core, shareBase);
    const missing = pieces - [...kept.values()].reduce((sum, amount) => sum + amount, 0);
    const others = new Map([...free].filter(([core]) => !kept.has(core)));
    // Half a piece more, so that it is not cut to one less.
    const asked = { cpu: (missing + 0.5) / shareBase, memory: 0 };
    const completed = missing === 0 ? new Map<string, number>() : coreSetPlans(others, 0, asked, rules)[0];
    if (completed === undefined || (best !== undefined && best.kept >= kept.size)) continue;
    best = { plan: new Map([...kept, ...completed]), kept: kept.size };
  }
  return best?.plan;
}

/** The cores that may keep the fragment: where it was, then wherever the reference wants it, then a whole core that is broken. */
function fragmentsKept(
  free: Pieces,
  rest: number,
  { maxShare }: ShareRules,
  wholeCores: number,
  held: ReturnType<typeof classify>,
  now: ReturnType<typeof classify>,
): (string | undefined)[] {
  const limit = now.full.length + now.fragment.length - wholeCores;
  const mayBreak = now.fragment.length < (maxShare === -1 ? limit : Math.min(maxShare, limit));
  const fits = ([core]: readonly [string, number]): boolean => (free.get(core) ?? 0) >= rest;
  const isFull = new Set(now.full.map(([core]) => core));
  const [stays, broken] = [held.fragment.filter(fits), held.full.filter(fits)];
  const allowed = broken.filter(([core]) => mayBreak || !isFull.has(core));
  return [...stays.map(([core]) => core), undefined, ...allowed.map(([core]) => core)];
}
