import { EruError, isJsonObject, parseSize, type Json, type JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { KindNode, Settings } from '../kind.ts';
import { readInteger, readTexts } from '../lenient.ts';
import type { MachineInfo } from '../model.ts';
import { nothingUsed } from './booking.ts';
import { alignUsed, checkNode, readCapacity, readUsed, type Capacity } from './node.ts';

/** What an operator writes of a node (section 3.1, "Node request keys"); a part that is absent was not given. */
interface NodeRequest {
  readonly cpuMap?: Amounts;
  readonly memory?: number;
  readonly numa?: Readonly<Record<string, string>>;
  readonly numaMemory?: Amounts;
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
  };
  return checkNode(capacity, alignUsed(nothingUsed, capacity));
}

/** `delta`: amounts add up, and may be negative; else they replace. What the request does not name stays. */
export function setCapacity(node: KindNode, raw: JsonObject, delta: boolean, settings: Settings): KindNode {
  const request = parseNodeRequest(raw, settings);
  const before = readCapacity(node.capacity);
  const used = readUsed(node.usage);
  const after: Capacity = delta
    ? {
        cpuMap: addAmounts(before.cpuMap, request.cpuMap ?? {}),
        memory: before.memory + (request.memory ?? 0),
        numa: request.numa ?? before.numa,
        numaMemory: addAmounts(before.numaMemory, request.numaMemory ?? {}),
      }
    : { ...before, ...request };
  const capacity = { ...after, cpuMap: withoutIdle(after.cpuMap, used.cpuMap) };
  return checkNode(capacity, alignUsed(used, capacity));
}

function parseNodeRequest(raw: JsonObject, settings: Settings): NodeRequest {
  const cpuMap = parseCores(raw['cpu'], readInteger(raw, 'share') || settings.shareBase);
  const memory = parseMemory(raw['memory']);
  const numaCpu = readTexts(raw, 'numa-cpu');
  const numaMemory = readTexts(raw, 'numa-memory');
  return {
    ...(cpuMap === undefined ? {} : { cpuMap }),
    ...(memory === undefined ? {} : { memory }),
    ...(numaCpu.length === 0 ? {} : { numa: parseNuma(numaCpu) }),
    ...(numaMemory.length === 0
      ? {}
      : { numaMemory: Object.fromEntries(numaMemory.map((size, node) => [node, parseSize(size, 'numa-memory')])) }),
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

/** Entry i names the cores of NUMA node "i". */
function parseNuma(lists: readonly string[]): Record<string, string> {
  const numa: Record<string, string> = {};
  for (const [node, list] of lists.entries()) {
    for (const core of list.split(',').map((text) => text.trim())) {
      if (!/^\d+$/.test(core)) throw refused('numa-cpu', list, 'write core ids such as 0,1,2', 'invalid numa cpu');
      numa[core] = String(node);
    }
  }
  return numa;
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

function withoutIdle(cpuMap: Amounts, used: Amounts): Amounts {
  return Object.fromEntries(Object.entries(cpuMap).filter(([core, pieces]) => pieces !== 0 || (used[core] ?? 0) !== 0));
}

function refused(field: string, value: Json, remedy: string, original: string): EruError {
  const shown = isJsonObject(value) ? 'an object' : JSON.stringify(value);
  return new EruError('invalid', `cpumem ${field}: ${shown} is not allowed; ${remedy}: ${original}`, {
    details: { field: `cpumem.${field}`, value, remedy },
  });
}
