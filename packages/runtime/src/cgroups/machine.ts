import { run } from '@eru/kit';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import type { CgroupTree } from './cgroup.ts';
import { readProc } from '../process/process-identity.ts';

/** What the machine gives a program of ours, found by trying (`probe.ts`). */
export interface Machine {
  bootId: string;
  uid: number;
  cores: number;
  cgroups: CgroupTree;
  /** Program of the OCI runtime, runc or crun, which take the same words; absent: none that works. */
  runc: string | undefined;
  conmon: string | undefined;
  /** A private writable layer over the host's root works. */
  overlay: boolean;
  swapLimits: boolean;
  capabilities: readonly string[];
  /** The runtime can hold back calls of the system. */
  seccomp: boolean;
  tools: Tools;
  offers: string[];
  missing: string[];
}

export type RuntimeName = 'runc' | 'crun';

/** Small programs of the system that the launchers use where they are present. */
interface Tools {
  setpriv: string | undefined;
  setsid: string | undefined;
  prlimit: string | undefined;
  fallocate: string | undefined;
}

const searchFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Where daemons look, besides their own PATH: a user's often lacks the sbin folders. */
export function findTool(name: string, searchPath: string): string | undefined {
  for (const folder of new Set([...searchPath.split(':'), ...searchFolders])) {
    const file = path.join(folder, name);
    try {
      if (path.isAbsolute(folder)) {
        accessSync(file, constants.X_OK);
        return file;
      }
    } catch {
      continue;
    }
  }
  return undefined;
}

/** `CAP_…`, by the kernel's numbers. */
export const capabilityNames =
  'CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE'
    .split(' ')
    .map((name) => `CAP_${name}`);

/** What this process may do, by the kernel's numbers. */
export function ownCapabilities(): string[] {
  const mask = BigInt(`0x${/^CapPrm:\s*([0-9a-f]+)/m.exec(readProc(process.pid, 'status') ?? '')?.[1] ?? '0'}`);
  return capabilityNames.filter((_name, bit) => (mask & (1n << BigInt(bit))) !== 0n);
}

/** Hard limits of this process, `nofile` -> number; nobody below it gets more without CAP_SYS_RESOURCE. */
export function ownHardLimit(name: string): number {
  const label: Readonly<Record<string, string>> = {
    nofile: 'Max open files',
    nproc: 'Max processes',
    core: 'Max core file size',
    memlock: 'Max locked memory',
    stack: 'Max stack size',
    fsize: 'Max file size',
    as: 'Max address space',
    cpu: 'Max cpu time',
    data: 'Max data size',
    sigpending: 'Max pending signals',
    msgqueue: 'Max msgqueue size',
    nice: 'Max nice priority',
    rtprio: 'Max realtime priority',
    locks: 'Max file locks',
  };
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((text) => text.startsWith(label[name] ?? '\0'));
  if (line === undefined) return Number.NaN;
  const hard = line.slice(26).trim().split(/\s+/)[1];
  return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}

/** Stays the same over restarts of the daemon and of the machine. */
export function systemMachineId(): string | undefined {
  const file = '/etc/machine-id';
  const id = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  return /^[0-9a-f]{32}$/.test(id) ? id : undefined;
}

export function coreCount(): number {
  return os.cpus().length;
}

/** What it answers to `--version`. */
export async function versionText(program: string): Promise<string> {
  return (await run(program, ['--version'], { timeoutMs: 10_000 })).stdout;
}

export async function versionOf(program: string): Promise<string> {
  const stdout = await versionText(program);
  return /\d+\.\d+(\.\d+)?/.exec(stdout)?.[0] ?? '';
}
