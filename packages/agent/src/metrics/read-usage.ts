import path from 'node:path';

import type { Engine, WorkloadState } from '@eru/engines';

import { cgroupMounts, type GroupFolders, groupFolders, readGroups } from './cgroup-usage.ts';
import { readIf, readNics } from './proc-files.ts';
import type { Usage } from './usage.ts';

/** Undefined when it does not run. */
export type ReadUsage = (state: WorkloadState, atMs: number, signal: AbortSignal) => Promise<Usage | undefined>;

/** From the control groups and the network of a workload's main process, whatever engine has made it. */
export function usageFromMachine(proc: string): ReadUsage {
  const known = new Map<string, { pid: number; folders: GroupFolders }>();
  const mounts = cgroupMounts(proc);
  const disks = new Map<string, string>();
  const diskName = (device: string): string => {
    const name = disks.get(device) ?? nameOf(device);
    disks.set(device, name);
    return name;
  };
  return (state, atMs) => {
    const { id, pid } = state;
    if (pid === 0) {
      known.delete(id);
      return Promise.resolve(undefined);
    }
    const before = known.get(id);
    const folders = before?.pid === pid ? before.folders : groupFolders(proc, pid, mounts);
    known.set(id, { pid, folders });
    return Promise.resolve({ atMs, ...readGroups(folders, diskName), nics: readNics(proc, pid) });
  };
}

/** What the engine itself counts, where its workloads are no processes of this machine (simulated ones, virtual machines). */
export function usageFromEngine(engine: Engine, timeoutMs: number): ReadUsage {
  return async ({ id, state }, atMs, signal) => {
    if (state !== 'running' && state !== 'paused') return undefined;
    const stats = await engine.stats(id, { signal, timeoutMs });
    return {
      atMs,
      cpu: { seconds: stats.cpuSeconds, throttledSeconds: stats.cpuThrottledSeconds },
      memory: { workingSet: stats.memoryBytes, oomKills: stats.oomKills },
      pids: stats.pids,
      nics: {},
      disks: {},
    };
  };
}

function nameOf(device: string): string {
  const name = /^DEVNAME=(.+)$/m.exec(readIf(path.join('/sys/dev/block', device, 'uevent')))?.[1];
  return name === undefined ? device : `/dev/${name}`;
}
