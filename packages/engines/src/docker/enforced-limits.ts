import { readFileSync } from 'node:fs';
import path from 'node:path';

import { readIoLimits } from '../cgroup-io.ts';
import type { Limits } from '../engine.ts';
import { listOf } from './resources.ts';

/**
 * What the kernel enforces for a running container of a daemon on this machine, read from its cgroup: found through its
 * main process, and believed only if it names the container. Undefined where it cannot be seen (no rights, another
 * machine's process numbers).
 */
export function enforcedLimits(id: string, pid: number): Limits | undefined {
  const groups = groupsOf(id, pid);
  if (groups === undefined) return undefined;
  const read = (controller: string, file: string): string => {
    const folder = groups.get(controller) ?? groups.get('');
    return folder === undefined ? '' : readText(path.join(folder, file));
  };
  const unified = !groups.has('memory');
  const limits: Limits = {};
  const [quota, period] = unified
    ? (read('cpu', 'cpu.max').split(' ') as [string, string])
    : [read('cpu', 'cpu.cfs_quota_us'), read('cpu', 'cpu.cfs_period_us')];
  if (Number(quota) > 0 && Number(period) > 0) limits.cpu = Number(quota) / Number(period);
  const memory = Number(read('memory', unified ? 'memory.max' : 'memory.limit_in_bytes'));
  // "No limit" of version 1 is the largest number of pages.
  if (memory > 0 && memory < 2 ** 53 - 2 ** 20) limits.memoryBytes = memory;
  const pids = Number(read('pids', 'pids.max'));
  if (pids > 0) limits.pids = pids;
  const cpuset = listOf(read('cpuset', 'cpuset.cpus'));
  if (cpuset.length > 0) limits.cpuset = cpuset;
  const memoryNodes = listOf(read('cpuset', 'cpuset.mems'));
  if (memoryNodes.length > 0) limits.memoryNodes = memoryNodes;
  const io = readIoLimits(unified ? 2 : 1, (file) => read('blkio', file));
  if (io.length > 0) limits.io = io;
  return limits;
}

/** How often the kernel has killed for want of memory in its cgroup. */
export function killsOf(id: string, pid: number): number {
  const groups = groupsOf(id, pid);
  const folder = groups?.get('memory') ?? groups?.get('');
  if (folder === undefined) return 0;
  const text = readText(path.join(folder, groups?.has('memory') === true ? 'memory.oom_control' : 'memory.events'));
  return Number(/^oom_kill (\d+)/m.exec(text)?.[1] ?? 0);
}

/** Is it a process of this container, in this machine's own numbers? */
export function isOf(id: string, pid: number): boolean {
  return readText(`/proc/${pid}/cgroup`).includes(id);
}

/** Controller -> folder; of version 2 under an empty name. */
function groupsOf(id: string, pid: number): Map<string, string> | undefined {
  if (pid === 0) return undefined;
  const groups = new Map<string, string>();
  for (const line of readText(`/proc/${pid}/cgroup`).split('\n')) {
    const [, controllers = '', group = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (!group.includes(id)) continue;
    for (const controller of controllers.split(','))
      groups.set(controller, path.join('/sys/fs/cgroup', controllers === '' ? '' : controllers, group));
  }
  return groups.size === 0 ? undefined : groups;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return ''; // gone meanwhile, or of a controller that this machine lacks
  }
}
