/**
 * What cores share, innermost first (siblings of a physical core, then L3, NUMA node, socket, as far as known): by core,
 * the number of its group. Empty = nothing is known.
 */
export type Levels = readonly Int32Array[];

/**
 * `need` of these cores that are close to each other and leave the largest groups whole: the smallest group that holds
 * all, innermost level first (for two cores, two siblings; for one, the sibling of a core in use). Where no group holds
 * all, the largest is taken and the rest is gathered from the others. Ties by order.
 */
export function gather(cores: readonly number[], need: number, levels: Levels): readonly number[] {
  if (need === 0) return [];
  const outermost = levels.at(-1);
  if (outermost === undefined || cores.length <= need) return cores.slice(0, need);

  const sizes = levels.map((level) => tally(cores, level));
  for (const [depth, level] of levels.entries()) {
    const sizeAt = (core: number, depth: number): number =>
      (sizes[depth] as Int32Array)[groupOf(core, levels, depth)] as number;
    const holding = cores.filter((core) => sizeAt(core, depth) >= need);
    if (holding.length === 0) continue;
    const tightest = holding.reduce((best, core) => {
      // Of two equal groups, that inside the smaller one: a busy L3 fills up before an empty one is begun.
      for (let out = depth; out < levels.length; out += 1) {
        const difference = sizeAt(core, out) - sizeAt(best, out);
        if (difference !== 0) return difference < 0 ? core : best;
      }
      return best;
    });
    const group = cores.filter((core) => level[core] === level[tightest]);
    return gather(group, need, levels.slice(0, depth));
  }

  const groupSizes = sizes.at(-1) as Int32Array;
  const largest =
    outermost[
      cores.reduce((best, core) => {
        const size = groupSizes[outermost[core] as number] as number;
        return size > (groupSizes[outermost[best] as number] as number) ? core : best;
      })
    ];
  const whole = cores.filter((core) => outermost[core] === largest);
  const others = cores.filter((core) => outermost[core] !== largest);
  return [...whole, ...gather(others, need - whole.length, levels)];
}

/** How close two cores are: the innermost level that they share; the number of levels when they share none. */
export function distance(a: number, b: number, levels: Levels): number {
  const shared = levels.findIndex((level) => level[a] === level[b]);
  return shared < 0 ? levels.length : shared;
}

function groupOf(core: number, levels: Levels, depth: number): number {
  return (levels[depth] as Int32Array)[core] as number;
}

/** How many of these cores are in each group. */
function tally(cores: readonly number[], level: Int32Array): Int32Array {
  const sizes = new Int32Array(level.length);
  for (const core of cores) {
    const group = level[core] as number;
    sizes[group] = (sizes[group] as number) + 1;
  }
  return sizes;
}
