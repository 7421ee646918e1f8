import type { Json, JsonObject } from '@eru/kit';
import type { Settings } from '../kind.ts';
import { readFloat, readInteger, readObject } from '../lenient.ts';
import { coreOf, countCores, maxPieces, pack, readCores, writeCores, type Range } from './free-cores.ts';
import type { Layout, Layouts } from './layout.ts';

/** What planning needs to know of a node: some 300 bytes at 96 cores, since a fleet keeps one for each that is different. */
export interface NodeState {
  readonly layout: Layout;
  /** See `freeCores`; written by `writeCores`. */
  readonly free: string;
  /** Cores booked by all workloads, bound or not. */
  readonly cpuUsed: number;
  readonly memory: number;
  readonly memoryUsed: number;
  /** Free bytes by NUMA node; may be negative. */
  readonly zoneMemory: readonly number[];
}

export function readState(capacity: JsonObject, usage: JsonObject, layouts: Layouts, settings: Settings): NodeState {
  const layout = layouts.of(capacity);
  const [pieces, used] = [readObject(capacity, 'cpu_map'), readObject(usage, 'cpu_map')];
  const left: number[] = [];
  for (const core of layout.byZone) {
    const name = layout.names[core] as string;
    const free = clamp(amount(pieces[name]) - amount(used[name]), settings);
    if (free > 0 && layout.reserved[core] === 0) left.push(pack(free, core));
  }
  const free = new Int32Array(left);
  for (const { from, to } of zoneRanges(layout, free)) free.subarray(from, to).sort();
  const [zoneMemory, zoneUsed] = [readObject(capacity, 'numa_memory'), readObject(usage, 'numa_memory')];
  return {
    layout,
    free: writeCores(free),
    cpuUsed: readFloat(usage, 'cpu'),
    memory: readInteger(capacity, 'memory'),
    memoryUsed: readInteger(usage, 'memory'),
    zoneMemory:
      layout.zones.length === 0
        ? noZones
        : layout.zones.map((zone) => amount(zoneMemory[zone]) - amount(zoneUsed[zone])),
  };
}

/** One for all nodes without NUMA. */
const noZones: readonly number[] = [];

/** Packed, cores with something left only; ascending within each NUMA node, and these one after the other. */
export function freeCores({ free }: NodeState): Int32Array {
  const cores = new Int32Array(countCores(free));
  readCores(free, cores);
  return cores;
}

/** Everything that planning looks at. */
export function fingerprint({ layout, free, cpuUsed, memory, memoryUsed, zoneMemory }: NodeState): string {
  return [layout.id, cpuUsed, memory, memoryUsed, ...zoneMemory, free].join(' ');
}

/** Where the cores of each NUMA node are; those of none are in one more range, the last. */
export function zoneRanges({ zones, zoneOf }: Layout, free: Int32Array): Range[] {
  let to = 0;
  return Array.from({ length: zones.length + 1 }, (_, zone) => {
    const from = to;
    while (to < free.length && zoneOf[coreOf(free[to] as number)] === zone) to += 1;
    return { from, to };
  });
}

/** Less than nothing is nothing; what is stored beyond the limit of a core counts as the most whole cores within it. */
function clamp(pieces: number, { shareBase }: Settings): number {
  if (pieces > maxPieces) return maxPieces - (maxPieces % shareBase);
  return Math.max(0, Math.trunc(pieces));
}

function amount(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}
