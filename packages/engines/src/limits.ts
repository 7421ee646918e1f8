import { invalid, isJsonObject } from '@eru/kit';
import type { Json } from '@eru/kit';

import type { EngineParams, Limits } from './engine.ts';
import { fieldsOf, ioLimitsOf } from './storage-params.ts';

/**
 * What the resource kinds ask of an engine, laid over each other field by field (core-behaviour.md section 5.1), in name
 * order of the kinds. Unknown fields are ignored; null, 0 and empty mean "not limited". Read as scheduling.md section 3.7
 * has it: cores without `remap` are the workload's own, so that their number is the bound and no quota is set; with `remap`
 * they are the pool that it shares, and the quota stays. Throws `invalid`.
 */
export function limitsOf(engineParams: EngineParams): Limits {
  const view = fieldsOf(engineParams);
  const limits: Limits = {};
  const cpu = amount(view, 'cpu');
  const memoryBytes = amount(view, 'memory');
  const cpuset = coresOf(view['cpu_map'] ?? {});
  const memoryNodes = nodesOf(view['numa_node'] ?? '');
  const shared = view['remap'] === true;
  if (cpu > 0 && (cpuset.length === 0 || shared)) limits.cpu = cpu;
  if (memoryBytes < 0 || !Number.isSafeInteger(memoryBytes))
    throw invalid('memory', memoryBytes, 'give a whole number of bytes');
  if (memoryBytes > 0) limits.memoryBytes = memoryBytes;
  if (cpuset.length > 0) limits.cpuset = cpuset;
  if (memoryNodes.length > 0) limits.memoryNodes = memoryNodes;
  const io = ioLimitsOf(view['iops_options'] ?? view['IOPS_options']);
  if (io.length > 0) limits.io = io;
  return limits;
}

function amount(view: Readonly<Record<string, Json>>, field: string): number {
  const value = view[field] ?? 0;
  // -1 is the original's "no quota".
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw invalid(field, JSON.stringify(value), 'give a number');
  return value;
}

function coresOf(map: Json): number[] {
  if (!isJsonObject(map)) throw invalid('cpu_map', JSON.stringify(map), 'give an object of core number to pieces');
  return numbers('cpu_map', Object.keys(map));
}

function nodesOf(text: Json): number[] {
  if (typeof text !== 'string') throw invalid('numa_node', JSON.stringify(text), 'give NUMA node numbers as text');
  return numbers('numa_node', text === '' ? [] : text.split(','));
}

function numbers(field: string, texts: readonly string[]): number[] {
  const wrong = texts.find((text) => !/^\d+$/.test(text));
  if (wrong !== undefined) throw invalid(field, wrong, 'numbers count from 0');
  return texts.map(Number).toSorted((a, b) => a - b);
}
