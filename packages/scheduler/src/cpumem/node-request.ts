import { EruError, isJsonObject, parseSize, type Json, type JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { KindNode, Settings } from '../kind.ts';
import { readInteger, readTexts } from '../lenient.ts';
import type { MachineInfo } from '../model.ts';
import { nothingUsed, type Used } from './booking.ts';
import { topologyKeys } from './layout.ts';
import { alignUsed, checkNode, readCapacity, readUsed, type Capacity, type Groups, type Topology } from './node.ts';

/** What an operator writes of a node (section 3.1, "Node request keys"); a part that is absent was not given. */
interface NodeRequest {
  readonly cpuMap?: Amounts;
  readonly memory?: number;
  readonly numa?: Groups;
  readonly numaMemory?: Amounts;
  readonly topology: Topology;
  readonly reserved?: readonly string[];
}

/** A new node: what the request leaves open comes from its machine, all of the cores and 80 % of the memory. */
export function addNode(raw: JsonObject, info: MachineInfo, settings: Settings): KindNode {
  const request = parseNodeRequest(raw, settings);
  const told = info.resources['cpumem'] ?? {};
  const machine = readCapacity(told);
  const cores = readInteger(told, 'cpu') || info.cpus;
  const memory = request.memory || eightTenths(machine.memory || info.memory);
  const numa = request.numa ?? machine.numa;
  const capacity: Capacity = {
    cpuMap: request.cpuMap ?? evenCores(cores, settings.shareBase),
    memory,
    numa,
    numaMemory: request.numaMemory ?? defaultNumaMemory(numa, machine.numaMemory, memory),
    topology: { ...machine.topology, ...request.topology },
    reserved: request.reserved ?? machine.reserved,
  };
  refuseUnknownCores(request, capacity);
  return checkNode(capacity, alignUsed(nothingUsed, capacity));
}

/** `delta`: amounts add up, and may be negative; else they replace. What the request does not name stays. */
export function setCapacity(node: KindNode, raw: JsonObject, delta: boolean, settings: Settings): KindNode {
  const request = parseNodeRequest(raw, settings);
  const before = readCapacity(node.capacity);
  const used = readUsed(node.usage);
  const topology = { ...before.topology, ...request.topology };
  const after: Capacity = delta
    ? {
        ...before,
        ...request,
        cpuMap: addAmounts(before.cpuMap, request.cpuMap ?? {}),
        memory: before.memory + (request.memory ?? 0),
        numaMemory: addAmounts(before.numaMemory, request.numaMemory ?? {}),
        topology,
      }
    : { ...before, ...request, topology };
  const capacity = withoutIdle(after, used);
  refuseUnknownCores(request, capacity);
  return checkNode(capacity, alignUsed(used, capacity));
}

function parseNodeRequest(raw: JsonObject, settings: Settings): NodeRequest {
  const cpuMap = parseCores(raw['cpu'], readInteger(raw, 'share') || settings.shareBase);
  const memory = parseMemory(raw['memory']);
  const numaCpu = readTexts(raw, 'numa-cpu');
  const numaMemory = readTexts(raw, 'numa-memory');
  const topology = topologyKeys
    .map((key) => ({ key, lists: readTexts(raw, `${key}-cpu`) }))
    .filter(({ lists }) => lists.length > 0)
    .map(({ key, lists }) => [key, parseGroups(`${key}-cpu`, lists)] as const);
  const reserved = raw['reserved-cpu'];
  return {
    ...(cpuMap === undefined ? {} : { cpuMap }),
    ...(memory === undefined ? {} : { memory }),
    ...(numaCpu.length === 0 ? {} : { numa: parseGroups('numa-cpu', numaCpu) }),
    ...(numaMemory.length === 0
      ? {}
      : { numaMemory: Object.fromEntries(numaMemory.map((size, node) => [node, parseSize(size, 'numa-memory')])) }),
    topology: Object.fromEntries(topology),
    // Empty text is an answer: none are reserved.
    ...(typeof reserved === 'string'
      ? { reserved: reserved.trim() === '' ? [] : parseCoreList('reserved-cpu', reserved) }
      : {}),
  };
}

/** A count of cores, or `id:pieces,id:pieces`. 0 and empty are "not given": the cli sends them for an untouched flag. */
function parseCores(value: Json | undefined, pieces: number): Amounts | undefined {
  if (value === undefined || value === null || value === '' || value === 0 || value === '0') return undefined;
  const text = typeof value === 'string' ? value.trim() : JSON.stringify(value);
  if (/^\d+$/.test(text)) return evenCores(Number(text), pieces);
  const cores: Record<string, number> = {};
  for (const part of text.split(',')) {
    const match = /^\s*(\d+)\s*:\s*(-?\d+)\s*$/.exec(part);
    if (match === null)
      throw refused('cpu', value, 'write a number of cores, or 0:100,1:100 (core:pieces)', 'invalid cpu map');
    cores[String(Number(match[1]))] = Number(match[2]);
  }
  return cores;
}

function parseMemory(value: Json | undefined): number | undefined {
  if (typeof value === 'string' && value !== '') return parseSize(value, 'memory');
  if (typeof value === 'number') return Math.round(value);
  return undefined;
}

/** Entry i names the cores of NUMA node "i"; the lists of what cores share are written alike. */
function parseGroups(key: string, lists: readonly string[]): Groups {
  const groups: Record<string, string> = {};
  for (const [group, list] of lists.entries()) {
    for (const core of parseCoreList(key, list)) groups[core] = String(group);
  }
  return groups;
}

function parseCoreList(key: string, list: string): string[] {
  return list.split(',').map((part) => {
    const core = part.trim();
    if (!/^\d+$/.test(core))
      throw refused(key, list, 'write core ids such as 0,1,2', `invalid ${key.replace('-', ' ')}`);
    return core;
  });
}

/** A core that is misspelt here would be given out after all. */
function refuseUnknownCores({ topology, reserved = [] }: NodeRequest, { cpuMap }: Capacity): void {
  const named = [
    ...Object.entries(topology).map(([key, groups]) => [key, Object.keys(groups)] as const),
    ['reserved', reserved] as const,
  ];
  for (const [key, cores] of named) {
    const unknown = cores.find((core) => !(core in cpuMap));
    if (unknown !== undefined)
      throw refused(`${key}-cpu`, unknown, 'the node has no such core; name cores of its cpu', `invalid ${key} cpu`);
  }
}

function evenCores(count: number, pieces: number): Amounts {
  return Object.fromEntries(Array.from({ length: count }, (_, core) => [core, pieces]));
}

/** The original divides by the number of cores, a defect (section 8): memory belongs to NUMA nodes. */
function defaultNumaMemory(numa: Readonly<Record<string, string>>, machine: Amounts, memory: number): Amounts {
  const known = Object.entries(machine);
  if (known.length > 0) return Object.fromEntries(known.map(([node, bytes]) => [node, eightTenths(bytes)]));
  const nodes = [...new Set(Object.values(numa))].sort();
  return Object.fromEntries(nodes.map((node) => [node, Math.floor(memory / nodes.length)]));
}

/** A fifth is left to the machine itself: kernel, engine, agent. */
function eightTenths(bytes: number): number {
  return Math.floor((bytes * 8) / 10);
}

/** Cores without pieces that nobody uses are gone, and what was known of them too. */
function withoutIdle(capacity: Capacity, { cpuMap: used }: Used): Capacity {
  const cpuMap = pick(capacity.cpuMap, (core) => capacity.cpuMap[core] !== 0 || (used[core] ?? 0) !== 0);
  const topology = Object.entries(capacity.topology).map(
    ([key, groups]) => [key, pick(groups, (core) => core in cpuMap)] as const,
  );
  return {
    ...capacity,
    cpuMap,
    topology: Object.fromEntries(topology),
    reserved: capacity.reserved.filter((core) => core in cpuMap),
  };
}

function pick<T>(record: Readonly<Record<string, T>>, keep: (name: string) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => keep(name)));
}

function refused(field: string, value: Json, remedy: string, original: string): EruError {
  const shown = isJsonObject(value) ? 'an object' : JSON.stringify(value);
  return new EruError('invalid', `cpumem ${field}: ${shown} is not allowed; ${remedy}: ${original}`, {
    details: { field: `cpumem.${field}`, value, remedy },
  });
}
