import type { Json, JsonObject } from '@eru/kit';
import type { Settings } from '../kind.ts';
import { readFloat, readInteger, readObject } from '../lenient.ts';
import { coreOf, maxPieces, pack, piecesOf } from './free-cores.ts';
import type { Layout, Layouts } from './layout.ts';

/** What planning needs to know of a node: under a KiB at 96 cores, so that 50,000 nodes fit into a processor's cache. */
export interface NodeState {
  readonly layout: Layout;
  /** Packed; ascending within each NUMA node, and these one after the other as in the layout. */
  readonly free: Int32Array;
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
  const free = new Int32Array(layout.names.length);
  for (let index = 0; index < free.length; index += 1) {
    const core = layout.byZone[index] as number;
    const name = layout.names[core] as string;
    const left = layout.reserved[core] === 1 ? 0 : amount(pieces[name]) - amount(used[name]);
    free[index] = pack(clamp(left, settings), core);
  }
  sortZones(layout, free);
  const [zoneMemory, zoneUsed] = [readObject(capacity, 'numa_memory'), readObject(usage, 'numa_memory')];
  return {
    layout,
    free,
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

/** Everything that planning looks at, in a short text: a character for the pieces of each core. */
export function fingerprint({ layout, free, cpuUsed, memory, memoryUsed, zoneMemory }: NodeState): string {
  const characters = Array.from<number>({ length: free.length });
  let large = '';
  for (const packed of free) {
    const pieces = piecesOf(packed);
    characters[coreOf(packed)] = pieces & 0xffff;
    if (pieces > 0xffff) large += `${packed} `;
  }
  const figures = [layout.id, cpuUsed, memory, memoryUsed, ...zoneMemory].map((figure) => figure.toString(36));
  // Joined, not added: a text that is put together from parts keeps them until it is read, and costs as much again.
  return [...figures, large, String.fromCharCode(...characters)].join(' ');
}

/** Ascending within each NUMA node, which `free` holds one after the other; cores without one are the last. */
function sortZones({ zoneRanges, all }: Layout, free: Int32Array): void {
  for (const { from, to } of zoneRanges) free.subarray(from, to).sort();
  free.subarray(zoneRanges.at(-1)?.to ?? 0, all.to).sort();
}

/** Less than nothing is nothing; what is stored beyond the limit of a core counts as the most whole cores within it. */
function clamp(pieces: number, { shareBase }: Settings): number {
  if (pieces > maxPieces) return maxPieces - (maxPieces % shareBase);
  return Math.max(0, Math.trunc(pieces));
}

function amount(value: Json | undefined): number {
  return typeof value === 'number' ? value : 0;
}
