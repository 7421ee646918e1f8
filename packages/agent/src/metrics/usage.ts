/** What one workload has used since it began, as far as the machine tells. Seconds, bytes, counts. */
export interface Usage {
  /** On a monotonic clock. */
  atMs: number;
  cpu?: Cpu;
  memory?: Memory;
  pids?: number;
  /** Seconds in which some (all) of its tasks waited; only version 2 of control groups tells. */
  pressure?: Readonly<Partial<Record<PressureKind, { some: number; full: number }>>>;
  nics: Readonly<Record<string, Nic>>;
  /** By path, such as `/dev/sda`. */
  disks: Readonly<Record<string, Disk>>;
}

export type PressureKind = 'cpu' | 'memory' | 'io';

interface Cpu {
  seconds: number;
  user?: number;
  system?: number;
  periods?: number;
  throttledPeriods?: number;
  throttledSeconds?: number;
  /** Cores it may use; absent = all. */
  limit?: number;
}

interface Memory {
  /** With page cache. */
  usage?: number;
  /** Without file pages that can be dropped at once. */
  workingSet: number;
  peak?: number;
  rss?: number;
  /** Absent = all. */
  limit?: number;
  oomKills?: number;
}

export interface Nic {
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}

export interface Disk {
  readBytes: number;
  writeBytes: number;
  reads: number;
  writes: number;
}
