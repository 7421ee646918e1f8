import { isJsonObject, type Json, type JsonObject } from '@eru/kit';
import { readObject, readTexts } from '../lenient.ts';
import { maxCores } from './free-cores.ts';
import type { Levels } from './topology.ts';

/** What does not change when workloads come and go: one object for all nodes of a model. Cores are meant by position. */
export interface Layout {
  /** Different layouts have different numbers; equal numbers are the same layout. */
  readonly id: number;
  /** Names of the cores, ascending as text. */
  readonly names: readonly string[];
  /** Cores that may be given out. */
  readonly usable: number;
  /** By core. */
  readonly reserved: Uint8Array;
  /** NUMA nodes, ascending as text. */
  readonly zones: readonly string[];
  /** By core; a core without NUMA node has the number after the last. */
  readonly zoneOf: Int32Array;
  /** Core positions, NUMA node by NUMA node. */
  readonly byZone: Int32Array;
  readonly levels: Levels;
}

/** A fleet has a handful of machine models; a stream of ever new ones must not grow the memory of a core for ever. */
const layoutsKept = 256;

/** Makes layouts, the same object for the same capacity. */
export class Layouts {
  readonly #known = new Map<string, Layout>();
  #made = 0;

  of(capacity: JsonObject): Layout {
    const text = describe(capacity);
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    this.#made += 1;
    if (this.#known.size === layoutsKept) this.#known.clear();
    const layout = makeLayout(this.#made, capacity);
    this.#known.set(text, layout);
    return layout;
  }
}

/** Keys of a node's capacity that name what cores share, each `core -> group`; innermost first. */
export const topologyKeys = ['smt', 'l3', 'socket'] as const;

const groupKeys = ['numa', ...topologyKeys] as const;

/** Everything that makes a layout; names are digits, so that lists of them can be joined. */
function describe(capacity: JsonObject): string {
  const names = Object.keys(readObject(capacity, 'cpu_map'));
  const groups = groupKeys.map((key) => {
    const groups = readObject(capacity, key);
    return names.map((name) => (typeof groups[name] === 'string' ? groups[name] : '')).join();
  });
  return [names.join(), ...groups, readTexts(capacity, 'reserved').join()].join('\n');
}

function makeLayout(id: number, capacity: JsonObject): Layout {
  const names = Object.keys(readObject(capacity, 'cpu_map')).sort().slice(0, maxCores);
  const reservedNames = new Set(readTexts(capacity, 'reserved'));
  const reserved = Uint8Array.from(names, (name) => (reservedNames.has(name) ? 1 : 0));
  const numa = readObject(capacity, 'numa');
  const zones = [...new Set(names.map((name) => numa[name]).filter((zone) => typeof zone === 'string'))].sort();
  const zoneNumbers = new Map<Json | undefined, number>(zones.map((zone, number) => [zone, number]));
  const zoneOf = Int32Array.from(names, (name) => zoneNumbers.get(numa[name]) ?? zones.length);
  const byZone = Int32Array.from(names.keys()).sort((a, b) => (zoneOf[a] as number) - (zoneOf[b] as number) || a - b);

  const [siblings, l3, socket] = topologyKeys.map((key) => groupsOf(capacity[key], names));
  const inner = [siblings, l3].filter((level) => level !== undefined);
  // NUMA alone is no topology: without more, the reference says which cores are taken.
  const outer = inner.length > 0 || socket !== undefined ? [...(zones.length > 0 ? [zoneOf] : []), socket] : [];
  const levels = [...inner, ...outer.filter((level) => level !== undefined)];
  const usable = names.length - reserved.reduce((sum, each) => sum + each, 0);
  return { id, names, usable, reserved, zones, zoneOf, byZone, levels };
}

/** The number of each core's group; a core that is not mentioned shares with nobody. */
function groupsOf(map: Json | undefined, names: readonly string[]): Int32Array | undefined {
  if (!isJsonObject(map) || Object.keys(map).length === 0) return undefined;
  const numbers = new Map<Json, number>();
  return Int32Array.from(names, (name, core) => {
    const group = typeof map[name] === 'string' ? map[name] : { core };
    const number = numbers.get(group) ?? numbers.size;
    numbers.set(group, number);
    return number;
  });
}
