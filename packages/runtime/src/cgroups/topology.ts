import type { JsonObject } from '@eru/kit';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What the cores of this machine share, in the form of the planner's `cpumem` (`core -> group`): threads of one physical
 * core (`smt`), L3 caches, sockets, and NUMA nodes with their memory in bytes. A part is left out where it tells nothing:
 * one group of all, or every core alone.
 * @param cores as many as are counted, by the kernel's numbers from 0
 * @param sys the kernel's tree of devices (https://docs.kernel.org/admin-guide/cputopology.html)
 */
export function readTopology(cores: number, sys = '/sys/devices/system'): JsonObject {
  const ids = Array.from({ length: cores }, (_, core) => core);
  const cpu = (core: number, ...rest: string[]): string => path.join(sys, 'cpu', `cpu${core}`, ...rest);
  const smt = groups(ids, (core) => firstOf(read(cpu(core, 'topology/thread_siblings_list'))));
  const l3 = groups(ids, (core) => firstOf(lastLevelCache(cpu(core, 'cache'))));
  const socket = groups(ids, (core) => read(cpu(core, 'topology/physical_package_id')));
  const zones = numaNodes(path.join(sys, 'node'));
  const numa = groups(ids, (core) => zones.find(({ list }) => list.has(core))?.name ?? '');
  return {
    ...(tells(smt, cores) && { smt }),
    ...(tells(l3, cores) && { l3 }),
    ...(tells(socket, cores) && { socket }),
    ...(tells(numa, cores) && {
      numa,
      numa_memory: Object.fromEntries(
        zones.filter(({ list }) => list.size > 0).map(({ name, memory }) => [name, memory]),
      ),
    }),
  };
}

type Groups = Record<string, string>;

/** Empty when the group of a core is not known: half a picture would mislead. */
function groups(ids: readonly number[], groupOf: (core: number) => string): Groups {
  const all = ids.map((core) => [String(core), groupOf(core)] as const);
  return all.some(([, group]) => group === '') ? {} : Object.fromEntries(all);
}

function tells(of: Groups, cores: number): boolean {
  const count = new Set(Object.values(of)).size;
  return count > 1 && count < cores;
}

function lastLevelCache(folder: string): string {
  const index = list(folder).find((name) => read(path.join(folder, name, 'level')) === '3');
  return index === undefined ? '' : read(path.join(folder, index, 'shared_cpu_list'));
}

function numaNodes(folder: string): { name: string; list: Set<number>; memory: number }[] {
  return list(folder)
    .filter((name) => /^node\d+$/.test(name))
    .map((name) => ({
      name: name.slice('node'.length),
      list: new Set(coresOf(read(path.join(folder, name, 'cpulist')))),
      memory: Number(/MemTotal:\s*(\d+) kB/.exec(read(path.join(folder, name, 'meminfo')))?.[1] ?? 0) * 1024,
    }))
    .sort((a, b) => Number(a.name) - Number(b.name));
}

/** `0-3,8` */
function coresOf(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    if (part === '' || first === undefined || last === undefined) return [];
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}

/** The first core of a list stands for all of it. */
function firstOf(text: string): string {
  return String(coresOf(text)[0] ?? '');
}

/** Empty when it is not there: kernels and containers differ in what they show. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
