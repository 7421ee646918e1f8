import { readFileSync, readdirSync } from 'node:fs';

/** A process for ever: a pid alone comes back with another process, after a reboot with any. */
export interface ProcessIdentity {
  bootId: string;
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  startTime: string;
}

interface ProcessStat {
  /** `R`, `S`, `Z`, … */
  state: string;
  cpuTicks: number;
  startTime: string;
  residentPages: number;
}

/** /proc/PID/stat; the command name in parentheses may hold anything, also parentheses and blanks. */
function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number): number => Number(fields[index - 3]);
  return {
    state: fields[0] ?? '',
    cpuTicks: number(14) + number(15),
    startTime: fields[22 - 3] ?? '',
    residentPages: number(24),
  };
}

export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

function statProcess(pid: number): ProcessStat | undefined {
  const text = readProc(pid, 'stat');
  return text === undefined || text === '' ? undefined : parseStat(text);
}

/** Undefined when there is no such process, or only its remains. */
export function identify(pid: number, bootId: string): ProcessIdentity | undefined {
  const stat = pid > 0 ? statProcess(pid) : undefined;
  return stat === undefined || isDead(stat) ? undefined : { bootId, pid, startTime: stat.startTime };
}

export function isAlive(identity: ProcessIdentity, bootId: string): boolean {
  return identity.bootId === bootId && identify(identity.pid, bootId)?.startTime === identity.startTime;
}

/** What the process does with a signal: `default` has the kernel's action, except for an init process of a pid namespace, which never gets it. */
export function dispositionOf(pid: number, signal: number): 'caught' | 'ignored' | 'default' | undefined {
  const status = readProc(pid, 'status');
  if (status === undefined) return undefined;
  const has = (field: string): boolean => {
    const mask = BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)`, 'm').exec(status)?.[1] ?? '0'}`);
    return (mask & (1n << BigInt(signal - 1))) !== 0n;
  };
  if (has('SigCgt')) return 'caught';
  return has('SigIgn') ? 'ignored' : 'default';
}

/** Living processes of which `accept` says yes. */
export function findProcesses(accept: (pid: number, stat: ProcessStat) => boolean): number[] {
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statProcess(Number(entry));
    if (stat !== undefined && !isDead(stat) && accept(Number(entry), stat)) found.push(Number(entry));
  }
  return found;
}

/** Undefined when the process is gone, or belongs to somebody else. */
export function readProc(pid: number, file: 'stat' | 'status' | 'environ' | 'cmdline'): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined;
  }
}

/** False when it was gone already. */
export function sendSignal(pid: number, signal: number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

function isDead(stat: ProcessStat): boolean {
  return stat.state === 'Z' || stat.state === 'X';
}

/** Clock ticks a second; every Linux that Node runs on has this number. */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** What these processes use now, for machines without cgroups. What ended ones have used is not in it. */
export function usageOf(pids: readonly number[]): { cpuSeconds: number; memoryBytes: number; pids: number } {
  const stats = pids.map(statProcess).filter((stat) => stat !== undefined);
  return {
    cpuSeconds: stats.reduce((sum, { cpuTicks }) => sum + cpuTicks, 0) / ticksPerSecond,
    memoryBytes: stats.reduce((sum, { residentPages }) => sum + residentPages, 0) * pageBytes,
    pids: stats.length,
  };
}
