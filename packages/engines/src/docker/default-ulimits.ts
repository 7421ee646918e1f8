import { readFileSync } from 'node:fs';

import type { Daemon } from './http-client.ts';
import type { DockerUlimit } from './wire-types.ts';

const usualFiles = 65_535;
const usualProcesses = 32_768;
const sysResource = 24n;

/**
 * The limits of containers that name none: 65535 open files, as in the original. Where this machine confines even root (no
 * CAP_SYS_RESOURCE), its daemon can give no more than we have ourselves; then Podman is told how many processes, too, for it
 * would ask for a million.
 */
export function defaultUlimits(local: boolean, daemon: Daemon): DockerUlimit[] {
  if (!local || !isConfined()) return [ulimit('nofile', usualFiles)];
  const limits = readFileSync('/proc/self/limits', 'utf8');
  const most = (line: RegExp, usual: number): number => Math.min(usual, Number(line.exec(limits)?.[1] ?? usual));
  return [
    ulimit('nofile', most(/^Max open files\s+\d+\s+(\d+)/m, usualFiles)),
    ...(daemon === 'podman' ? [ulimit('nproc', most(/^Max processes\s+\d+\s+(\d+)/m, usualProcesses))] : []),
  ];
}

/** Whether we are root without the right to raise limits. */
function isConfined(): boolean {
  if (process.getuid?.() !== 0) return false;
  const status = readFileSync('/proc/self/status', 'utf8');
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? 'ffffffffff'}`);
  return ((capabilities >> sysResource) & 1n) === 0n;
}

function ulimit(Name: string, most: number): DockerUlimit {
  return { Name, Soft: most, Hard: most };
}
