import { EruError, type JsonObject } from '@eru/kit';
import type { Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import { readAmounts, readFloat, readInteger, readObject } from '../lenient.ts';
import type { Used } from './booking.ts';

/** A node's capacity. Core and NUMA node names are texts; `cpuMap` is pieces per core, `numa` core -> NUMA node. */
export interface Capacity {
  readonly memory: number;
  readonly cpuMap: Amounts;
  readonly numa: Readonly<Record<string, string>>;
  readonly numaMemory: Amounts;
}

export function readCapacity(stored: JsonObject): Capacity {
  const numa: Record<string, string> = {};
  for (const [core, node] of Object.entries(readObject(stored, 'numa'))) {
    if (typeof node === 'string') numa[core] = node;
  }
  return {
    memory: readInteger(stored, 'memory'),
    cpuMap: readAmounts(stored, 'cpu_map'),
    numa,
    numaMemory: readAmounts(stored, 'numa_memory'),
  };
}

/** `cpu` is the number of cores, also where cores are oversold. */
function formatCapacity(capacity: Capacity): JsonObject {
  return {
    cpu: Object.keys(capacity.cpuMap).length,
    cpu_map: { ...capacity.cpuMap },
    memory: capacity.memory,
    numa: { ...capacity.numa },
    numa_memory: { ...capacity.numaMemory },
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
  for (const [core, pieces] of Object.entries(capacity.cpuMap)) {
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
export function exceeding(capacity: Capacity, used: Used): string[] {
  return [
    ...exceedingAmounts('core', used.cpuMap, capacity.cpuMap),
    ...exceedingAmounts('NUMA node', used.numaMemory, capacity.numaMemory),
  ];
}

function exceedingAmounts(what: string, used: Amounts, capacity: Amounts): string[] {
  return Object.entries(used)
    .filter(([name, amount]) => amount < 0 || amount > (capacity[name] ?? 0))
    .map(([name, amount]) => `${what} ${name}: ${amount} used of ${capacity[name] ?? 0}`);
}

function refused(field: string, why: string, original: string): EruError {
  return new EruError('invalid', `cpumem ${field}: ${why}: ${original}`, { details: { field: `cpumem.${field}` } });
}
