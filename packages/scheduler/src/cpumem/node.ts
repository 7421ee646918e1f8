import { EruError, type JsonObject } from '@eru/kit';
import type { Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import { readAmounts, readFloat, readInteger, readObject, readTexts } from '../lenient.ts';
import type { Used } from './booking.ts';
import { maxCores, maxPieces } from './free-cores.ts';
import { topologyKeys } from './layout.ts';

/** A node's capacity. Core and NUMA node names are texts; `cpuMap` is pieces per core, `numa` core -> NUMA node. */
export interface Capacity {
  readonly memory: number;
  readonly cpuMap: Amounts;
  readonly numa: Groups;
  readonly numaMemory: Amounts;
  /** What cores share, where it is known. */
  readonly topology: Topology;
  /** Cores that are never given out. */
  readonly reserved: readonly string[];
}

/** Core -> name of the group of cores that it shares something with. */
export type Groups = Readonly<Record<string, string>>;

/** By key of `topologyKeys`; what is not known is absent. */
export type Topology = Readonly<Partial<Record<(typeof topologyKeys)[number], Groups>>>;

export function readCapacity(stored: JsonObject): Capacity {
  const known = topologyKeys
    .map((key) => [key, readGroups(stored, key)] as const)
    .filter(([, groups]) => Object.keys(groups).length > 0);
  return {
    memory: readInteger(stored, 'memory'),
    cpuMap: readAmounts(stored, 'cpu_map'),
    numa: readGroups(stored, 'numa'),
    numaMemory: readAmounts(stored, 'numa_memory'),
    topology: Object.fromEntries(known),
    reserved: readTexts(stored, 'reserved'),
  };
}

function readGroups(stored: JsonObject, key: string): Groups {
  const groups: Record<string, string> = {};
  for (const [core, group] of Object.entries(readObject(stored, key))) {
    if (typeof group === 'string') groups[core] = group;
  }
  return groups;
}

/** `cpu` is the number of cores, also where cores are oversold. */
function formatCapacity(capacity: Capacity): JsonObject {
  return {
    cpu: Object.keys(capacity.cpuMap).length,
    cpu_map: { ...capacity.cpuMap },
    memory: capacity.memory,
    numa: { ...capacity.numa },
    numa_memory: { ...capacity.numaMemory },
    // Ours; absent where nothing is known, so that a reader of the original's form meets nothing new.
    ...capacity.topology,
    ...(capacity.reserved.length > 0 ? { reserved: [...capacity.reserved] } : {}),
  };
}

export function readUsed(stored: JsonObject): Used {
  return {
    cpu: readFloat(stored, 'cpu'),
    memory: readInteger(stored, 'memory'),
    cpuMap: readAmounts(stored, 'cpu_map'),
    numaMemory: readAmounts(stored, 'numa_memory'),
  };
}

/** `numa` of the stored usage is a copy of the capacity's, kept as found. */
export function formatUsed(used: Used, numa: JsonObject): JsonObject {
  return {
    cpu: used.cpu,
    cpu_map: { ...used.cpuMap },
    memory: used.memory,
    numa,
    numa_memory: { ...used.numaMemory },
  };
}

/**
 * Usage names exactly the cores and NUMA nodes of its capacity, 0 where nothing is used, so that readers need no defaults;
 * and one that is used but no longer there, so that the check finds it.
 */
export function alignUsed(used: Used, capacity: Capacity): Used {
  return {
    ...used,
    cpuMap: align(used.cpuMap, capacity.cpuMap),
    numaMemory: align(used.numaMemory, capacity.numaMemory),
  };
}

function align(used: Amounts, capacity: Amounts): Amounts {
  const aligned: Record<string, number> = {};
  for (const name of Object.keys(capacity)) aligned[name] = used[name] ?? 0;
  for (const [name, amount] of Object.entries(used)) if (amount !== 0) aligned[name] = amount;
  return aligned;
}

/** The checks of every write of a node (section 3.2). @throws EruError `invalid` */
export function checkNode(capacity: Capacity, used: Used): KindNode {
  const cores = Object.keys(capacity.cpuMap);
  if (cores.length === 0) throw refused('cpu', 'a node has at least one core', 'invalid cpu map');
  if (cores.length > maxCores) throw refused('cpu', `a node has at most ${maxCores} cores`, 'invalid cpu map');
  for (const [core, pieces] of Object.entries(capacity.cpuMap)) {
    if (pieces > maxPieces) throw refused(`cpu[${core}]`, `a core has at most ${maxPieces} pieces`, 'invalid cpu map');
    if (pieces < 0) throw refused(`cpu[${core}]`, `${pieces} pieces are less than none`, 'invalid cpu map');
  }
  if (capacity.memory < 0) throw refused('memory', `${capacity.memory} bytes are less than none`, 'invalid memory');
  if (Object.keys(capacity.numa).length > 0) {
    for (const core of cores) {
      const node = capacity.numa[core];
      if (node === undefined) throw refused('numa-cpu', `core ${core} has no NUMA node`, 'invalid numa cpu');
      if (capacity.numaMemory[node] === undefined)
        throw refused('numa-memory', `NUMA node ${node} has no memory`, 'invalid numa memory');
    }
  }
  const [overrun] = exceeding(capacity, used);
  if (overrun !== undefined) throw refused('capacity', overrun, 'invalid resource capacity');
  return { capacity: formatCapacity(capacity), usage: formatUsed(used, { ...capacity.numa }) };
}

/** Cores and NUMA nodes that hold more than they have. Total memory and CPU are not looked at: an operator may shrink a busy node. */
function exceeding(capacity: Capacity, used: Used): string[] {
  return [
    ...exceedingAmounts('core', used.cpuMap, capacity.cpuMap),
    ...exceedingAmounts('NUMA node', used.numaMemory, capacity.numaMemory),
  ];
}

/** Where a node holds more than it has although this kind does not over-commit it; CPU without binding it does. */
export function overruns(node: KindNode): string[] {
  const [capacity, used] = [readCapacity(node.capacity), readUsed(node.usage)];
  const lines = exceeding(capacity, used);
  if (used.memory >= 0 && used.memory <= capacity.memory) return lines;
  return [...lines, `memory: ${used.memory} used of ${capacity.memory}`];
}

function exceedingAmounts(what: string, used: Amounts, capacity: Amounts): string[] {
  return Object.entries(used)
    .filter(([name, amount]) => amount < 0 || amount > (capacity[name] ?? 0))
    .map(([name, amount]) => `${what} ${name}: ${amount} used of ${capacity[name] ?? 0}`);
}

function refused(field: string, why: string, original: string): EruError {
  return new EruError('invalid', `cpumem ${field}: ${why}: ${original}`, { details: { field: `cpumem.${field}` } });
}
