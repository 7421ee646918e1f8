// The reference's deploy strategies, one instance after the other (reference/scheduling.md section 6). What the original
// leaves to chance is settled by node name.

export interface NodeInfo {
  readonly name: string;
  usage: number;
  readonly rate: number;
  capacity: number;
  /** Workloads of the same app and entrypoint on the node. */
  count: number;
}

/** Node -> instances, or undefined where the strategy finds no plan. Takes the infos apart. */
type Strategy = (infos: NodeInfo[], count: number, nodesLimit: number) => Map<string, number> | undefined;

export const strategies: Readonly<Record<'AUTO' | 'FILL' | 'EACH' | 'GLOBAL' | 'DRAINED', Strategy>> = {
  AUTO: auto,
  FILL: fill,
  EACH: each,
  GLOBAL: global,
  DRAINED: drained,
};

function auto(infos: NodeInfo[], count: number, nodesLimit: number): Map<string, number> | undefined {
  if (total(infos) < count) return undefined;
  const open = (info: NodeInfo): boolean => info.capacity > 0 && (nodesLimit === 0 || info.count < nodesLimit);
  return oneByOne(infos, count, open, (a, b) => a.count - b.count || b.capacity - a.capacity);
}

function global(infos: NodeInfo[], count: number): Map<string, number> | undefined {
  if (total(infos) < count) return undefined;
  return oneByOne(
    infos,
    count,
    (info) => info.capacity > 0,
    (a, b) => a.usage + a.rate - (b.usage + b.rate),
  );
}

type Order = (a: NodeInfo, b: NodeInfo) => number;

function oneByOne(
  infos: NodeInfo[],
  count: number,
  open: (info: NodeInfo) => boolean,
  order: Order,
): Map<string, number> | undefined {
  const plan = new Map<string, number>();
  const named = byName(order);
  for (let placed = 0; placed < count; placed += 1) {
    let best: NodeInfo | undefined;
    for (const info of infos) if (open(info) && (best === undefined || named(info, best) < 0)) best = info;
    if (best === undefined) return undefined;
    best.count += 1;
    best.usage += best.rate;
    best.capacity -= 1;
    plan.set(best.name, (plan.get(best.name) ?? 0) + 1);
  }
  return plan;
}

function fill(infos: NodeInfo[], count: number, nodesLimit: number): Map<string, number> | undefined {
  const wanted = nodesLimit || infos.length;
  const fitting = infos
    .toSorted(byName((a, b) => b.count - a.count || b.capacity - a.capacity))
    .filter((info) => info.count + info.capacity >= count);
  if (fitting.length < wanted) return undefined;
  const plan = new Map(fitting.slice(0, wanted).map((info) => [info.name, Math.max(count - info.count, 0)]));
  return [...plan.values()].every((instances) => instances === 0) ? undefined : plan;
}

function each(infos: NodeInfo[], count: number, nodesLimit: number): Map<string, number> | undefined {
  const wanted = nodesLimit || infos.length;
  const fitting = infos.filter((info) => info.capacity >= count).sort(byName((a, b) => b.capacity - a.capacity));
  if (fitting.length < wanted || fitting.length === 0) return undefined;
  return new Map(fitting.slice(0, wanted).map((info) => [info.name, count]));
}

function drained(infos: NodeInfo[], count: number): Map<string, number> | undefined {
  if (total(infos) < count) return undefined;
  const plan = new Map<string, number>();
  let missing = count;
  for (const info of infos.toSorted(byName((a, b) => a.capacity - b.capacity || b.usage - a.usage))) {
    if (missing === 0) break;
    const taken = Math.min(info.capacity, missing);
    plan.set(info.name, taken);
    missing -= taken;
  }
  return plan;
}

function total(infos: readonly NodeInfo[]): number {
  return infos.reduce((sum, info) => sum + info.capacity, 0);
}

function byName(order: Order): Order {
  return (a, b) => order(a, b) || (a.name < b.name ? -1 : 1);
}
